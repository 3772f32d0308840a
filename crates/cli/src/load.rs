//! From MODEL to a model that answers, with progress for those who watch.

use std::io::{self, Write};
use std::rc::Rc;

use anyhow::{Context, Result};
use api::{Files, LoadOptions};
use engine::{Cancel, Gpu};
use model::{Config, Options};
use store::{Directory, Home, Library, OpenOptions};

use crate::args::{self, Limits};
use crate::locate::locate;
use crate::{hub, output};

/// Context where none is asked for.
const DEFAULT_CONTEXT: u32 = 4096;

/// Reads the headers of `model`'s files.
pub(crate) async fn open(model: &args::Model) -> Result<Files> {
    open_in(model.cache.home(), &model.location).await
}

/// The same, with what comes over the network kept in `home`.
pub(crate) async fn open_in(home: Option<Directory>, model: &str) -> Result<Files> {
    let location = locate(model)?;
    let home = home.map(|home| Rc::new(home) as Rc<dyn Home>);
    Ok(Files::open_with(&location, &OpenOptions { home, token: hub::token(&location), ..OpenOptions::default() }).await?)
}

/// Says why some of what came is not kept, if so.
pub(crate) fn note_problem(library: &Library) {
    if let Some(problem) = library.take_problem() {
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "quire: what is fetched is not kept: {problem}");
    }
}

/// Options with a context of `context` positions, or what suits the model.
pub(crate) fn options(model: &str, files: &Files, context: Option<u32>) -> Result<Options> {
    let config = Config::new(&files.directory).with_context(|| model.to_owned())?;
    Ok(Options { context: context.unwrap_or(DEFAULT_CONTEXT.min(config.n_context)), ..Options::default() })
}

/// Reads all weights onto the GPU.
pub(crate) async fn load(model: &str, files: &Files, limits: &Limits, options: Options) -> Result<api::Model> {
    let gpu = Gpu::open().await?;
    log::info!("adapter: {}", gpu.adapter());
    let bar = output::progress(format!("loading {model}"), 0);
    let mut on_progress = |progress: api::Progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.loaded);
    };
    let options = LoadOptions { model: Options { slots: limits.slots, ..options }, max_gpu_bytes: limits.gpu_memory };
    let loaded = api::Model::load(files, gpu, options, &Cancel::default(), &mut on_progress).await;
    bar.finish_and_clear();
    note_problem(&files.library);
    // Dense weights are read once: from here on there are experts.
    files.library.hold_in_memory(limits.ram.unwrap_or(0));
    loaded.with_context(|| model.to_owned())
}
