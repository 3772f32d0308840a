//! From MODEL to a model that answers, with progress for those who watch.

use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::{Files, LoadOptions, shard_locations};
use engine::{Cancel, Gpu};
use model::{Budget, Config, Options};
use store::{Directory, Home, Library, Manifest, OpenOptions, Retry};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::args::{self, Limits};
use crate::locate::locate;
use crate::{hub, output};

/// Context where none is asked for.
const DEFAULT_CONTEXT: u32 = 4096;
const MOST_MANIFEST_BYTES: u64 = 1 << 20;
/// How long a server is waited for that may have another version than what is kept.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads the headers of `model`'s files.
pub(crate) async fn open(model: &args::Model) -> Result<Files> {
    let options = options_in(model.cache.home());
    let manifest = match &model.manifest {
        Some(location) => Some(manifest(location, &options).await.with_context(|| location.clone())?),
        None => None,
    };
    let files = open_with(&model.location, OpenOptions { manifest, ..options }).await?;
    if let Some(manifest) = model.manifest.as_ref().filter(|_| files.library.has_unchecked_sums()) {
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "quire: the sums that {manifest} says are not checked: that is done only to what is kept of a URL");
    }
    Ok(files)
}

/// The same, with what comes over the network kept in `home`.
pub(crate) async fn open_in(home: Option<Directory>, model: &str) -> Result<Files> {
    open_with(model, options_in(home)).await
}

fn options_in(home: Option<Directory>) -> OpenOptions {
    OpenOptions { home: home.map(|home| Rc::new(home) as Rc<dyn Home>), ..OpenOptions::default() }
}

async fn open_with(model: &str, options: OpenOptions) -> Result<Files> {
    let location = locate(model)?;
    let options = OpenOptions { token: hub::token(&location), ..options };
    refresh(&shard_locations(&location), &options).await;
    Ok(Files::open_with(&location, &options).await?)
}

/// What a manifest says. One that was fetched is kept as a model is.
async fn manifest(location: &str, options: &OpenOptions) -> Result<Manifest> {
    let files = [location.to_owned()];
    let options = OpenOptions { token: hub::token(location), ..options.clone() };
    refresh(&files, &options).await;
    let library = Library::open(&files, &options).await?;
    let source = &library.shards()[0];
    let size = source.size().await?;
    ensure!(size <= MOST_MANIFEST_BYTES, "{size} bytes are too many for a manifest");
    let json = store::read_vec(&**source, 0..size).await?;
    library.flush().await;
    Ok(Manifest::from_json(&json)?)
}

/// Asks the servers whether they still have what is kept of these files, and forgets what they have not. Where nobody answers at once it is
/// believed.
async fn refresh(locations: &[String], options: &OpenOptions) {
    let asked = async {
        let Some(home) = &options.home else { return Ok(()) };
        let kept = store::list(&**home).await?;
        let is_kept = |location: &&String| kept.iter().any(|kept| kept.identity.location == **location);
        let locations: Vec<String> = locations.iter().filter(is_kept).cloned().collect();
        let retry = Retry { attempts: 1, stall: PATIENCE, ..options.retry.clone() };
        Library::open(&locations, &OpenOptions { retry, ..options.clone() }).await?.revalidate().await
    };
    if let Err(error) = asked.await {
        log::info!("{error}");
    }
}

/// Says why some of what came is not kept, if so.
pub(crate) fn note_problem(library: &Library) {
    if let Some(problem) = library.take_problem() {
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "quire: what is fetched is not kept: {problem}");
    }
}

/// What `limits` say, or what suits the model.
pub(crate) fn options(model: &str, files: &Files, limits: &Limits) -> Result<Options> {
    let config = Config::new(&files.directory).with_context(|| model.to_owned())?;
    let default = Options::default();
    let context = limits.context.unwrap_or(DEFAULT_CONTEXT.min(config.n_context));
    Ok(Options { context, slots: limits.slots, kv: limits.kv.unwrap_or(default.kv), ..default })
}

/// What `limits` say, or about half of this machine's memory if the GPU shares it. A GPU with memory of its own says itself what it has.
pub(crate) fn budget(limits: &Limits, gpu: Option<&Gpu>) -> Budget {
    let shared = || gpu.filter(|gpu| gpu.shares_memory()).and_then(|_| all_memory());
    match limits.gpu_memory {
        Some(bytes) => Budget::Most(bytes),
        None => shared().map_or(Budget::All, |bytes| Budget::About(bytes / 2)),
    }
}

/// Bytes, where the system tells.
fn all_memory() -> Option<u64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(memory).ok().map(|system| system.total_memory()).filter(|bytes| *bytes > 0)
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
    let gpu_memory = budget(limits, Some(&gpu));
    let options = LoadOptions { model: options, gpu_memory, max_ram_bytes: limits.ram.unwrap_or(0) };
    let loaded = api::Model::load(files, gpu, options, &Cancel::default(), &mut on_progress).await;
    bar.finish_and_clear();
    note_problem(&files.library);
    loaded.with_context(|| model.to_owned())
}
