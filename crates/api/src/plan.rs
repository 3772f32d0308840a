//! How many experts a GPU can hold at once.

use engine::{Engine, Gpu};
use model::{Model, Options};

use crate::{Error, Files, LoadOptions};

/// Makes the buffers of a model with as many slots for experts as the budget and the GPU allow.
///
/// # Errors
/// [`model::Error::Budget`] if not even the fewest fit; [`Error::OutOfMemory`] if the GPU says so.
pub(crate) async fn place(files: &Files, gpu: Gpu, options: LoadOptions, unusable: &[u32]) -> Result<Engine, Error> {
    let mut wanted = options.model;
    wanted.max_binding = wanted.max_binding.min(gpu.max_binding());
    let mut model = Model::within(&files.directory, wanted.clone(), options.gpu_memory)?;
    loop {
        let (n_slots, needed) = (model.n_slots, model.gpu_bytes());
        // A quarter less, down to the fewest.
        let fewer = (n_slots - n_slots.div_ceil(4)).max(model.least_slots());
        let refused = match Engine::new(gpu.clone(), model, files.feed(), unusable.to_vec()).await {
            Ok(engine) => return Ok(engine),
            Err(refused @ engine::Error::OutOfMemory { .. }) => refused,
            Err(error) => return Err(error.into()),
        };
        if wanted.slots.is_some() || fewer >= n_slots {
            return Err(Error::OutOfMemory { needed, refused });
        }
        log::warn!("{refused}; trying with {fewer} slots a layer instead of {n_slots}");
        model = Model::new(&files.directory, Options { slots: Some(fewer), ..wanted.clone() })?;
    }
}
