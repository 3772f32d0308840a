//! Weights from the files of a model.

use std::rc::Rc;
use std::sync::Arc;

use engine::{Feed, FeedError, Reading, Run, Sink, Urgency};
use store::{Library, Priority};

/// An engine's way to a model's files.
#[derive(Debug)]
pub(crate) struct LibraryFeed(pub(crate) Rc<Library>);

impl Feed for LibraryFeed {
    fn read<'a>(&'a self, runs: &'a [Run], urgency: Urgency, sink: &'a mut Sink<'_>) -> Reading<'a> {
        let priority = match urgency {
            Urgency::Demand => Priority::Demand,
            Urgency::Prefetch => Priority::Prefetch,
            Urgency::Background => Priority::Background,
        };
        let runs: Vec<store::Run> = runs.iter().map(|run| store::Run { shard: run.shard, range: run.range.clone() }).collect();
        Box::pin(async move { self.0.read_runs(&runs, priority, sink).await.map_err(|error| Arc::new(error) as FeedError) })
    }
}
