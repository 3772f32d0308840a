//! The ways of a missing expert's bytes, as users have them, each beside the plainest way to the same bytes.

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
    plain: Plain,
}

/// The plainest way of the same bytes.
enum Plain {
    /// Host memory has them.
    Nothing,
    /// Out of the files themselves.
    Files,
    /// Out of a cache's files in this folder.
    Kept(PathBuf),
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
    let mut ways = vec![
        Way { tier: Tier::Memory, files: memory, plain: Plain::Nothing },
        Way { tier: Tier::Cache, files: cache, plain: Plain::Kept(kept_in.to_owned()) },
    ];
    if is_file {
        ways.push(Way { tier: Tier::Disk, files: Files::open(location).await?, plain: Plain::Files });
    }
    let plain = Plain::Http(Http::new(&http));
    ways.push(Way { tier: Tier::Http, files: http, plain });
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
    pub(super) fn read_plainly(&mut self, runs: &[Run]) -> Result<Option<Duration>> {
        let took = match &mut self.plain {
            Plain::Nothing => return Ok(None),
            Plain::Files => {
                Disk::open(&self.files.library.shards().iter().map(|shard| shard.location().into()).collect::<Vec<_>>())?.read(runs)
            }
            Plain::Kept(folder) => Disk::open(&data_in(folder, self.files.library.shards())?)?.read(runs),
            Plain::Http(http) => http.read(runs),
        };
        took.map(Some)
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

/// Where a cache in `folder` has the bytes of each shard.
fn data_in(folder: &Path, shards: &[Rc<dyn Source>]) -> Result<Vec<PathBuf>> {
    let kept = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let data_of = |shard: &Rc<dyn Source>| {
        let name = shard.location().rsplit('/').next().unwrap_or_default();
        let found = kept.iter().find(|entry| entry.file_name().to_string_lossy().starts_with(name));
        Ok(found.with_context(|| format!("{}: nothing is kept of it", shard.location()))?.path().join("data"))
    };
    shards.iter().map(data_of).collect()
}

/// Where an expert's bytes are.
pub(super) fn runs_of(model: &Model, layer: usize, expert: u32) -> impl Iterator<Item = Run> {
    model.expert_uploads(layer, expert, 0).into_iter().map(|u| Run { shard: u.shard, range: u.start..u.start + u.bytes })
}
