//! While the person thinks: the next line is waited for, and the rest of the model is brought meanwhile, the hottest experts first.

use std::io::{self, BufRead};
use std::pin::pin;
use std::thread;

use api::{Error, Model};
use engine::Cancel;
use futures_channel::mpsc;
use futures_util::future::{Either, select};
use futures_util::{SinkExt, StreamExt};

/// The lines of stdin, from a thread that reads no further ahead than one.
#[derive(Debug)]
pub(super) struct Lines(mpsc::Receiver<io::Result<Vec<u8>>>);

impl Lines {
    pub(super) fn start() -> io::Result<Self> {
        let (mut lines, taken) = mpsc::channel(0);
        let read = move || {
            loop {
                let mut line = Vec::new();
                let read = io::stdin().lock().read_until(b'\n', &mut line);
                let is_last = !matches!(read, Ok(n) if n > 0);
                let line = match read {
                    Ok(0) => return,
                    read => read.map(|_| line),
                };
                if pollster::block_on(lines.send(line)).is_err() || is_last {
                    return;
                }
            }
        };
        thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
        Ok(Self(taken))
    }

    /// `None` at the end.
    pub(super) async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.0.next().await
    }
}

/// Waits for `line`, and fills until it has come. `note` is told what the person should know.
pub(super) async fn fill_until<T>(line: impl Future<Output = T>, model: &mut Model, note: &dyn Fn(&str)) -> T {
    let mut line = pin!(line);
    let fill = model.fill().clone();
    loop {
        let cancel = Cancel::default();
        // What goes to the GPU is ended rather than dropped: the model must be whole afterwards.
        let warmed = match select(&mut line, pin!(fill.warm(model, &cancel))).await {
            Either::Left((line, warming)) => {
                cancel.cancel();
                let _ = warming.await;
                return line;
            }
            Either::Right((warmed, _)) => warmed,
        };
        let rest = async {
            match warmed {
                Ok(false) if !fill.keep().await? => fill.check().await,
                warmed => warmed.map(|_| true),
            }
        };
        let filled = match select(&mut line, pin!(rest)).await {
            Either::Left((line, _)) => return line,
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
    line.await
}
