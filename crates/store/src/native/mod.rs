//! What stands on an operating system: files, blocking HTTP on threads, time.

mod agent;
mod buffer;
mod directory;
mod file;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use futures_channel::oneshot;

use crate::{Error, Http, Source};

pub(crate) use agent::{Agent, Answer};
pub(crate) use buffer::Buffer;
pub use directory::Directory;

/// Whatever keeps others away while it lives; the thread that writes ends it.
pub type Claim = std::sync::Arc<dyn std::any::Any + Send + Sync>;

pub use file::LocalFile;

/// Opens a URL (`http://`, `https://`) or else a path.
///
/// # Errors
/// [`Error::Open`] if a file does not exist or may not be read. A URL is not asked before the first read.
pub fn open(location: &str) -> Result<Rc<dyn Source>, Error> {
    if is_url(location) {
        return Ok(Rc::new(Http::new(location)));
    }
    Ok(Rc::new(LocalFile::open(location)?))
}

/// Whether a location is a URL rather than a path.
pub(crate) fn is_url(location: &str) -> bool {
    location.starts_with("http://") || location.starts_with("https://")
}

/// Sleeps on a thread of its own, which ends with the future.
pub(crate) async fn sleep(time: Duration) {
    let (awake, woken) = oneshot::channel::<()>();
    let (asleep, gone) = mpsc::channel::<()>();
    thread::spawn(move || {
        // Nothing is ever sent: it ends by the time, or when `asleep` is dropped.
        let _ = gone.recv_timeout(time);
        drop(awake);
    });
    let _ = woken.await;
    drop(asleep);
}

pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// A number in 0..1, good enough to keep clients apart.
pub(crate) fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
