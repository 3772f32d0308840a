//! How many experts a GPU can hold at once.

use engine::{Engine, Gpu};
use model::Model;

use crate::{Error, Files, LoadOptions};

/// Makes the buffers of a model with as many slots for experts as the budget and the GPU allow.
///
/// # Errors
/// [`model::Error::Budget`] if not even the fewest fit; [`Error::OutOfMemory`] if the GPU says so.
pub(crate) async fn place(files: &Files, gpu: Gpu, options: LoadOptions, unusable: &[u32]) -> Result<Engine, Error> {
    let mut wanted = options.model;
    wanted.max_binding = wanted.max_binding.min(gpu.max_binding());
    let model = Model::within(&files.directory, wanted, options.gpu_memory)?;
    let needed = model.smallest()?.gpu_bytes();
    match Engine::new(gpu, model, files.feed(), unusable.to_vec()).await {
        Err(refused @ (engine::Error::OutOfMemory { .. } | engine::Error::RanOut { .. })) => Err(Error::OutOfMemory { needed, refused }),
        made => Ok(made?),
    }
}
