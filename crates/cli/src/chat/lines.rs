//! The lines of stdin as they come.

use std::io::{self, BufRead};
use std::thread;

use futures_channel::mpsc;
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
