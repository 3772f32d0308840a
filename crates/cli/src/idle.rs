//! While nobody wants an answer: what comes next is waited for, and the rest of the model is brought meanwhile, the hottest experts
//! first.

use std::pin::pin;

use api::{Error, Model};
use engine::Cancel;
use futures_util::future::{Either, select};

/// Waits for `next`, and fills until it has come. `note` is told what the person should know.
pub(crate) async fn fill_until<T>(next: impl Future<Output = T>, model: &mut Model, note: &dyn Fn(&str)) -> T {
    let mut next = pin!(next);
    let fill = model.fill().clone();
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
                Ok(false) if !fill.keep().await? => fill.check().await,
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
