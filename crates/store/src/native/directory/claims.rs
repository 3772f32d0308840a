//! Which parts of a file some process fetches now.
//!
//! Parts of 4 MiB share 64 lock files in turns; a claim takes those of its range in ascending order, so no two processes wait
//! for each other. Within a process a lock is shared: there, flights tell readers apart. The system gives up a lock when
//! its process ends, however it ends.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::{File, TryLockError};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::journal::without_locks;
use super::{cannot_read, cannot_write};
use crate::Error;
use crate::cache::Claim;
use crate::platform::sleep;

const PART_BYTES: u64 = 4 << 20;
const LOCKS: u64 = 64;
/// How often another process is looked after.
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Claims {
    folder: PathBuf,
    held: RefCell<HashMap<u64, Weak<File>>>,
}

impl Claims {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, held: RefCell::default() }
    }

    pub(super) async fn claim(&self, range: Range<u64>) -> Result<Claim, Error> {
        let parts = range.start / PART_BYTES..range.end.div_ceil(PART_BYTES);
        let locks: BTreeSet<u64> = parts.take(LOCKS as usize).map(|part| part % LOCKS).collect();
        let mut files = Vec::new();
        for lock in locks {
            files.push(self.lock(lock).await?);
        }
        Ok(Arc::new(files))
    }

    /// Keeps others from importing; `None` if somebody does.
    pub(super) fn import(&self) -> Result<Option<Claim>, Error> {
        let lock = LockFile::open(self.folder.join("import"))?;
        Ok(lock.try_lock()?.then(|| Arc::new(lock.file) as Claim))
    }

    async fn lock(&self, lock: u64) -> Result<Arc<File>, Error> {
        let lock_file = LockFile::open(self.folder.join(lock.to_string()))?;
        loop {
            if let Some(held) = self.held.borrow().get(&lock).and_then(Weak::upgrade) {
                return Ok(held);
            }
            if lock_file.try_lock()? {
                break;
            }
            sleep(POLL).await;
        }
        let file = Arc::new(lock_file.file);
        self.held.borrow_mut().insert(lock, Arc::downgrade(&file));
        Ok(file)
    }
}

struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| cannot_read(&path, &e))?;
        Ok(Self { path, file })
    }

    /// Whether it is had now.
    fn try_lock(&self) -> Result<bool, Error> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => without_locks(e).map(|()| true).map_err(|e| cannot_write(&self.path, &e, 0)),
        }
    }
}
