//! While nobody wants an answer: what comes next is waited for, and the rest of the model is brought meanwhile, the hottest experts
//! first.

use std::pin::pin;

use api::{Error, Fill, Model};
use engine::Cancel;
use futures_util::future::{Either, LocalBoxFuture, select};

/// What brings it. What is on its way when an answer is asked for goes on coming, since it would be fetched twice else.
pub(crate) struct Filler {
    /// `None` brings nothing.
    fill: Option<Fill>,
    keeping: Option<LocalBoxFuture<'static, Result<bool, Error>>>,
}

impl Filler {
    pub(crate) fn new(model: &Model, fills: bool) -> Self {
        Self { fill: fills.then(|| model.fill().clone()), keeping: None }
    }

    /// Waits for `next`, and fills until it has come. `note` is told what the person should know.
    pub(crate) async fn until<T>(&mut self, next: impl Future<Output = T>, model: &mut Model, note: &dyn Fn(&str)) -> T {
        let mut next = pin!(next);
        let Some(fill) = self.fill.clone() else { return next.await };
        loop {
            let cancel = Cancel::default();
            // What goes to the GPU is ended rather than dropped: the model must be whole afterwards.
            let warmed = match select(&mut next, pin!(fill.warm(model, &cancel))).await {
                Either::Left((next, warming)) => {
                    cancel.cancel();
                    let _ = warming.await;
                    return next;
                }
                Either::Right((warmed, _)) => warmed,
            };
            let rest = async {
                match warmed {
                    Ok(false) if !self.keep(&fill).await? => fill.check().await,
                    warmed => warmed.map(|_| true),
                }
            };
            let filled = match select(&mut next, pin!(rest)).await {
                Either::Left((next, _)) => return next,
                Either::Right((filled, _)) => filled,
            };
            match filled {
                Ok(true) => {}
                Ok(false) => break,
                Err(Error::Store(error @ store::Error::Unlike { .. })) => {
                    note(&format!("{error}. What was kept of it is forgotten; what was loaded of it may be wrong: start again."));
                }
                // Tried again after the next answer.
                Err(error) => {
                    log::warn!("the background fill waits: {error}");
                    fill.retry();
                    break;
                }
            }
        }
        next.await
    }

    /// Does `work`, while what is on its way comes as far as there is room on the line.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some(keeping) = &mut self.keeping else { return work.await };
        match select(pin!(work), keeping).await {
            Either::Left((done, _)) => done,
            Either::Right((kept, work)) => {
                self.keeping = None;
                if let (Err(error), Some(fill)) = (kept, &self.fill) {
                    log::warn!("the background fill waits: {error}");
                    fill.retry();
                }
                work.await
            }
        }
    }

    /// As [`Fill::keep`], going on with what was begun.
    async fn keep(&mut self, fill: &Fill) -> Result<bool, Error> {
        let keeping = self.keeping.get_or_insert_with(|| {
            let fill = fill.clone();
            Box::pin(async move { fill.keep().await })
        });
        let kept = keeping.await;
        self.keeping = None;
        kept
    }
}
