//! Weights from the files of a model.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use engine::{Feed, FeedError, Run, Sink, Urgency};
use store::Source;

/// A model's files, shard after shard.
pub(crate) struct Shards(pub(crate) Vec<Rc<dyn Source>>);

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|s| s.location())).finish()
    }
}

impl Feed for Shards {
    fn read<'a>(
        &'a self,
        runs: &'a [Run],
        _: Urgency,
        sink: &'a mut Sink<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), FeedError>> + 'a>> {
        Box::pin(async move {
            for (i, run) in runs.iter().enumerate() {
                let mut take = |piece: &[u8]| -> ControlFlow<()> { sink(i, piece) };
                self.0[run.shard].read(run.range.clone(), &mut take).await.map_err(|e| Arc::new(e) as FeedError)?;
            }
            Ok(())
        })
    }
}
