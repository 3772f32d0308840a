//! What every place that bytes come from can do.

use std::future::{Future, poll_fn};
use std::ops::{ControlFlow, Range};
use std::pin::Pin;
use std::task::Poll;

use crate::{Error, Identity, Sum};

/// A future that stays on its thread: a tab has only one, and browser handles cannot leave it.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Takes the bytes of a read, in order, each once, in pieces of at most [`WINDOW_BYTES`].
///
/// `Break` cancels the read. An empty piece carries nothing and asks whether to go on: it comes before every attempt
/// of a network read, so that a read which waits and retries can be cancelled too.
pub type Sink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// The largest piece a [`Sink`] is given.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;

/// Bytes that can be read by range.
///
/// Dropping a read's future cancels it and frees what it held; in the browser the request is aborted.
pub trait Source {
    /// Where the bytes come from, as a person would name it: a path, a URL, a file name.
    fn location(&self) -> &str;

    /// Total size in bytes.
    fn size(&self) -> LocalFuture<'_, Result<u64, Error>>;

    /// Gives `range`, bytes from the start of the source, to `sink`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the source ends before the range does; [`Error::Cancelled`] if the sink breaks;
    /// otherwise what the medium reports. Pieces given before an error are good.
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>>;

    /// Whether bytes come over a network, whose requests are worth counting, ordering and saving.
    fn is_remote(&self) -> bool {
        false
    }

    /// What tells this version of the file from others, if it is known: an ETag or a date.
    fn tag(&self) -> Option<String> {
        None
    }

    /// The SHA-256 that the server says the whole file has, if it does.
    fn sum(&self) -> Option<Sum> {
        None
    }

    /// Expects the version that an earlier visit found: answers of any other are [`Error::Changed`].
    fn expect(&self, version: &Identity) {
        let _ = version;
    }

    /// Asks anew which version there is and what its sum is said to be, without regard to what is known, and without reading it.
    ///
    /// # Errors
    /// What the medium reports.
    fn identify(&self) -> LocalFuture<'_, Result<(Identity, Option<Sum>), Error>> {
        Box::pin(async {
            let identity = Identity { location: self.location().to_owned(), size: self.size().await?, tag: self.tag() };
            Ok((identity, self.sum()))
        })
    }

    /// What went over the network for this source so far.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    /// The byte that comes next, if the file comes only from its start to its end; `None` if any byte can be asked for.
    fn comes_from(&self) -> Option<u64> {
        None
    }
}

/// Counts of what went over a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub requests: u64,
    /// Of bodies, also where they were of no use.
    pub bytes: u64,
    /// Requests that failed or broke off, and were sent again.
    pub retries: u64,
    /// Answers that asked for fewer requests.
    pub throttled: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.retries += other.retries;
        self.throttled += other.throttled;
    }
}

/// Reads a small range whole; a large one belongs in [`Source::read`].
///
/// # Errors
/// As [`Source::read`].
pub async fn read_vec(source: &dyn Source, range: Range<u64>) -> Result<Vec<u8>, Error> {
    // The range may be a lie of the file that named it: memory follows what arrives.
    let mut bytes = Vec::new();
    source
        .read(range, &mut |piece| {
            bytes.extend_from_slice(piece);
            ControlFlow::Continue(())
        })
        .await?;
    Ok(bytes)
}

/// Lets others work, and whoever polls look whether to go on: bytes that are there already come without a pause otherwise.
pub(crate) async fn take_turns() {
    let mut has_paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// `range` as a range inside a source of `size` bytes.
pub(crate) fn check_range(location: &str, range: &Range<u64>, size: u64) -> Result<(), Error> {
    if range.start <= range.end && range.end <= size {
        return Ok(());
    }
    Err(Error::OutOfRange { location: location.to_owned(), start: range.start, end: range.end, size })
}

/// Hands one piece on, and turns the sink's `Break` into the error it means.
pub(crate) fn give(location: &str, sink: &mut Sink<'_>, piece: &[u8]) -> Result<(), Error> {
    match sink(piece) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled { location: location.to_owned() }),
    }
}
