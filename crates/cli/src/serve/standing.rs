//! `/stats`: how the model stands, as `engine.stats()` of the npm package tells it. The model lives on the main thread, so that is asked.

use std::future::pending;

use api::{ErrorReply, ExpertMap, Fill, FillProgress, Monitor, Stats};
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_util::StreamExt;
use serde::Serialize;

use super::queue::Queue;

#[derive(Debug, Serialize)]
struct Standing {
    #[serde(flatten)]
    stats: Stats,
    #[serde(flatten)]
    map: ExpertMap,
    fill: FillProgress,
    /// Whether what comes over the network is kept on this machine: `fill` is of the files then, else of the GPU's share.
    keeps: bool,
    requests: Requests,
}

#[derive(Debug, Serialize)]
struct Requests {
    in_hand: usize,
    waiting: usize,
}

type Question = oneshot::Sender<Standing>;

/// Asks, from any thread.
#[derive(Debug)]
pub(super) struct Asker(UnboundedSender<Question>);

/// Is asked.
#[derive(Debug)]
pub(super) struct Teller(UnboundedReceiver<Question>);

pub(super) fn pair() -> (Asker, Teller) {
    let (asker, teller) = unbounded();
    (Asker(asker), Teller(teller))
}

impl Asker {
    /// # Errors
    /// If the model has gone.
    pub(super) async fn json(&self) -> Result<String, ErrorReply> {
        let gone = || ErrorReply::unavailable("the model has gone");
        let (answer, answered) = oneshot::channel();
        self.0.unbounded_send(answer).map_err(|_| gone())?;
        let standing = answered.await.map_err(|_| gone())?;
        serde_json::to_string(&standing).map_err(|_| gone())
    }
}

impl Teller {
    /// Answers, beside whatever works with the model; never ends.
    pub(super) async fn tell(mut self, monitor: Monitor, fill: Fill, keeps: bool, queue: &Queue) {
        while let Some(question) = self.0.next().await {
            let (in_hand, waiting) = queue.len();
            let requests = Requests { in_hand, waiting };
            // Whoever has gone does not hear it.
            let _ = question.send(Standing { stats: monitor.stats(), map: monitor.map(), fill: fill.progress(), keeps, requests });
        }
        pending().await
    }
}
