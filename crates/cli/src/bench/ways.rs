//! The ways of a missing expert's bytes, as users have them, each beside the plainest way to the same bytes.

use std::cell::RefCell;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use api::Files;
use engine::{Run, Urgency};
use model::Model;
use serde::Serialize;
use store::{Directory, Source};

use super::plain::{Disk, Http};
use super::serve::serve;
use crate::load;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tier {
    Memory,
    Cache,
    Disk,
    Http,
}

impl Tier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Tier::Memory => "memory",
            Tier::Cache => "cache",
            Tier::Disk => "disk",
            Tier::Http => "HTTP",
        }
    }
}

/// A tier as users have it.
pub(super) struct Way {
    pub(super) tier: Tier,
    pub(super) files: Files,
    /// The folder of a cache.
    kept_in: Option<PathBuf>,
    /// Where its bytes come from plainly.
    plain: Option<RefCell<Plain>>,
}

enum Plain {
    Disk(Disk),
    Http(Http),
}

/// All ways to the model at `location`, with a cache in the folder `kept_in`.
pub(super) async fn ways(location: &str, model: &Model, kept_in: &Path) -> Result<Vec<Way>> {
    let is_file = Path::new(location).is_file();
    let url = if is_file { serve(Path::new(location))? } else { location.to_owned() };
    let memory = Files::open(location).await?;
    let (layers, experts) = (model.layers.len(), model.config.experts);
    let runs = (0..layers).flat_map(|layer| (0..experts.n).flat_map(move |expert| runs_of(model, layer, expert)));
    let room = 2 * u64::from(experts.n_used) * model.bytes.per_expert;
    memory.library.hold_in_memory(room, runs.map(|Run { shard, range }| store::Run { shard, range }), |_| false);
    let cache = load::open_in(Some(Directory::new(kept_in)), &url).await?;
    let http = load::open_in(None, &url).await?;
    let agent = Plain::Http(Http::new(&http));
    let mut ways = vec![
        Way { tier: Tier::Memory, files: memory, kept_in: None, plain: None },
        Way { tier: Tier::Cache, files: cache, kept_in: Some(kept_in.to_owned()), plain: None },
        Way { tier: Tier::Http, files: http, kept_in: None, plain: Some(RefCell::new(agent)) },
    ];
    if is_file {
        let files = Files::open(location).await?;
        let paths: Vec<PathBuf> = files.library.shards().iter().map(|shard| shard.location().into()).collect();
        let plain = Some(RefCell::new(Plain::Disk(Disk::open(&paths)?)));
        ways.insert(2, Way { tier: Tier::Disk, files, kept_in: None, plain });
    }
    Ok(ways)
}

impl Way {
    /// The bytes of `runs`, end to end. Afterwards they are where the tier has them.
    pub(super) async fn bring(&self, runs: &[Run]) -> Result<Vec<u8>> {
        let mut bytes = vec![Vec::new(); runs.len()];
        let mut sink = |i: usize, piece: &[u8]| {
            bytes[i].extend_from_slice(piece);
            ControlFlow::Continue(())
        };
        self.files.feed().read(runs, Urgency::Demand, &mut sink).await?;
        self.files.library.flush().await;
        Ok(bytes.concat())
    }

    /// How long a plain read takes; where a disk can forget, it has forgotten before and after.
    pub(super) fn read_plainly(&self, runs: &[Run]) -> Result<Option<Duration>> {
        if let Some(folder) = &self.kept_in {
            return Ok(Some(Disk::open(&self.data_in(folder)?)?.read(runs)?));
        }
        self.plain
            .as_ref()
            .map(|plain| match &mut *plain.borrow_mut() {
                Plain::Disk(disk) => disk.read(runs),
                Plain::Http(http) => http.read(runs),
            })
            .transpose()
    }

    /// Where a cache has the bytes of each shard.
    fn data_in(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let kept = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        let data_of = |shard: &Rc<dyn Source>| {
            let name = shard.location().rsplit('/').next().unwrap_or_default();
            let found = kept.iter().find(|entry| entry.file_name().to_string_lossy().starts_with(name));
            Ok(found.with_context(|| format!("{}: nothing is kept of it", shard.location()))?.path().join("data"))
        };
        self.files.library.shards().iter().map(data_of).collect()
    }

    /// Bytes that this tier has given so far, if it counts them.
    pub(super) fn given(&self) -> Option<u64> {
        let library = &self.files.library;
        match self.tier {
            Tier::Memory => Some(library.bytes_from_memory()),
            Tier::Cache => Some(library.bytes_served()),
            Tier::Disk => None,
            Tier::Http => Some(library.traffic().bytes),
        }
    }
}

/// Where an expert's bytes are.
pub(super) fn runs_of(model: &Model, layer: usize, expert: u32) -> impl Iterator<Item = Run> {
    model.expert_uploads(layer, expert, 0).into_iter().map(|u| Run { shard: u.shard, range: u.start..u.start + u.bytes })
}
