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

    async fn lock(&self, lock: u64) -> Result<Arc<File>, Error> {
        let path = self.folder.join(lock.to_string());
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| cannot_read(&path, &e))?;
        loop {
            if let Some(held) = self.held.borrow().get(&lock).and_then(Weak::upgrade) {
                return Ok(held);
            }
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => sleep(POLL).await,
                Err(TryLockError::Error(e)) => {
                    without_locks(e).map_err(|e| cannot_write(&path, &e, 0))?;
                    break;
                }
                Ok(()) => break,
            }
        }
        let file = Arc::new(file);
        self.held.borrow_mut().insert(lock, Arc::downgrade(&file));
        Ok(file)
    }
}
