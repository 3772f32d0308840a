//! One version of one file in a directory.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use futures_channel::oneshot;

use super::claims::Claims;
use super::journal::Journal;
use super::writer::{Job, Shared, Writer};
use super::{CLAIMS, NOTES, cannot_read, write_whole};
use crate::cache::{Change, Chunk, Claim, Extent, Identity, Shelf};
use crate::source::{WINDOW_BYTES, give};
use crate::{Error, LocalFuture, Sink};

/// Written and committed at once. Of 256 MiB in slices of 4.4 MB, on ext4, MB/s written (all of it synced) and read back checked:
/// 256 KiB 290 and 1400, 1 MiB 340 and 2900, 2 MiB 280 and 2500, 4 MiB 250 and 2300, 16 MiB 210 and 1700.
const EXTENT_BYTES: usize = 1 << 20;

pub(super) struct DirectoryShelf {
    location: String,
    folder: PathBuf,
    data: RefCell<File>,
    shared: Arc<Mutex<Shared>>,
    claims: Claims,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl DirectoryShelf {
    pub(super) fn open(folder: &Path, identity: &Identity) -> Result<Self, Error> {
        let path = folder.join("data");
        let fail = |e: io::Error| cannot_read(&path, &e);
        let data = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        let journal = Journal::open(&folder.join("journal"))?;
        let records = journal.file().map_err(fail)?;
        let shared = Arc::new(Mutex::new(Shared { journal, news: Vec::new() }));
        let writer = Writer { path: path.clone(), data, journal: records, shared: shared.clone() };
        let (jobs, taken) = mpsc::channel();
        let thread = thread::Builder::new().name("cache".to_owned()).spawn(move || writer.run(&taken)).map_err(fail)?;
        Ok(Self {
            location: identity.location.clone(),
            folder: folder.to_owned(),
            data: RefCell::new(File::open(&path).map_err(fail)?),
            shared,
            claims: Claims::new(folder.join(CLAIMS)),
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_path(&self, name: &str) -> PathBuf {
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        self.folder.join(NOTES).join(plain)
    }
}

impl Drop for DirectoryShelf {
    /// What came is written before the process may end.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shelf for DirectoryShelf {
    fn news(&self) -> LocalFuture<'_, Result<Vec<Change>, Error>> {
        Box::pin(async {
            let mut shared = self.shared();
            let fresh = shared.journal.refresh()?;
            let mut news = std::mem::take(&mut shared.news);
            news.extend(fresh);
            Ok(news)
        })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let fail = |e: io::Error| Error::Read {
                location: self.folder.join("data").display().to_string(),
                start: range.start,
                end: range.end,
                cause: e.to_string(),
            };
            let mut data = self.data.borrow_mut();
            data.seek(SeekFrom::Start(range.start)).map_err(fail)?;
            let mut left = range.end - range.start;
            let mut window = vec![0; WINDOW_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
            while left > 0 {
                let n = window.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                data.read_exact(&mut window[..n]).map_err(fail)?;
                give(&self.location, sink, &window[..n])?;
                left -= n as u64;
            }
            Ok(())
        })
    }

    fn extent_bytes(&self) -> usize {
        EXTENT_BYTES
    }

    fn extent(&self, start: u64) -> Box<dyn Extent> {
        Box::new(Growing { start, bytes: Vec::new(), jobs: self.jobs.clone(), location: self.location.clone() })
    }

    fn forget(&self, range: Range<u64>) -> LocalFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.shared().append(&[Change::Lost(range)]) })
    }

    fn claim(&self, range: Range<u64>) -> LocalFuture<'_, Result<Option<Claim>, Error>> {
        Box::pin(async move { self.claims.claim(range).await.map(Some) })
    }

    fn import_claim(&self) -> LocalFuture<'_, Result<Option<Claim>, Error>> {
        Box::pin(async {
            let claim = self.claims.import()?;
            claim.map(Some).ok_or_else(|| Error::Busy { location: self.location.clone() })
        })
    }

    fn note<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>, Error>> {
        Box::pin(async move {
            let path = self.note_path(name);
            match fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(cannot_read(&path, &e)),
            }
        })
    }

    fn set_note<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move { write_whole(&self.note_path(name), bytes) })
    }
}

/// An extent on its way to the thread that writes.
struct Growing {
    start: u64,
    bytes: Vec<u8>,
    jobs: Option<mpsc::Sender<Job>>,
    location: String,
}

impl Extent for Growing {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    fn keep(self: Box<Self>, chunks: Vec<Chunk>, claim: Option<Claim>) -> LocalFuture<'static, Result<(), Error>> {
        let (done, is_done) = oneshot::channel();
        let job = Job { start: self.start, bytes: self.bytes, chunks, done, _claim: claim };
        let is_sent = self.jobs.is_some_and(|jobs| jobs.send(job).is_ok());
        let location = self.location;
        Box::pin(async move {
            let gone = |_| Error::Write { location, cause: "the thread that writes has ended".to_owned() };
            if is_sent { is_done.await.map_err(gone)? } else { Err(gone(oneshot::Canceled)) }
        })
    }
}
