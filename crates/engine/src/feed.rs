//! Where weights' bytes come from: the engine asks for runs of files, whoever owns it knows the files.

use std::fmt::Debug;
use std::future::Future;
use std::ops::{ControlFlow, Range};
use std::pin::Pin;
use std::sync::Arc;

/// A run of bytes of one of a model's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub shard: usize,
    pub range: Range<u64>,
}

/// How badly a run is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// An answer waits for it.
    Demand,
    /// It will probably be wanted soon.
    Prefetch,
    /// When nothing else is to be done.
    Background,
}

/// Takes pieces: the number of the run, and its next bytes. `Break` ends the reading.
pub type Sink<'a> = dyn FnMut(usize, &[u8]) -> ControlFlow<()> + 'a;

/// What a [`Feed`] met with.
pub type FeedError = Arc<dyn std::error::Error + Send + Sync>;

/// A reading under way.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<(), FeedError>> + 'a>>;

/// Reads weights. Dropping a future of it ends the reading.
pub trait Feed: Debug {
    /// Gives the bytes of each run to `sink`, each run's in order and once; runs may come interleaved. An empty piece
    /// only asks whether to go on.
    fn read<'a>(&'a self, runs: &'a [Run], urgency: Urgency, sink: &'a mut Sink<'_>) -> Reading<'a>;
}
