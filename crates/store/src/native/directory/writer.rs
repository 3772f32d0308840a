//! A thread that writes what came, so that reading goes on meanwhile.
//!
//! It takes all that waits, writes the bytes, makes sure of them, and then appends to the journal: what the journal
//! speaks of is there, whatever ends the process or the machine.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use futures_channel::oneshot;

use super::cannot_write;
use super::journal::Journal;
use crate::Error;
use crate::cache::{Change, Chunk, Claim};

/// One extent.
pub(super) struct Job {
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
    /// Until the job is done.
    pub(super) _claim: Option<Claim>,
}

/// What the thread and the shelf share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) journal: Journal,
    /// Not told yet.
    pub(super) news: Vec<Change>,
}

impl Shared {
    /// Appends to the journal. Own changes are news as well: in the order of the journal, what others lost before does not take
    /// what came after it.
    pub(super) fn append(&mut self, changes: &[Change]) -> Result<(), Error> {
        let others = self.journal.append(changes)?;
        self.news.extend(others);
        self.news.extend_from_slice(changes);
        Ok(())
    }
}

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) data: File,
    /// To make sure of.
    pub(super) journal: File,
    pub(super) shared: Arc<Mutex<Shared>>,
}

impl Writer {
    /// Works until nobody can send any more.
    pub(super) fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter()).collect();
            self.write(batch);
        }
    }

    fn write(&mut self, batch: Vec<Job>) {
        let mut written = Vec::new();
        for job in batch {
            match self.write_bytes(&job) {
                Ok(()) => written.push(job),
                // Whoever asked may have gone.
                Err(error) => drop(job.done.send(Err(error))),
            }
        }
        if written.is_empty() {
            return;
        }
        let changes: Vec<_> = written.iter().flat_map(|job| &job.chunks).map(|chunk| Change::Kept(*chunk)).collect();
        let total: u64 = written.iter().map(|job| job.bytes.len() as u64).sum();
        let failure = self.commit(&changes, total).err();
        for job in written {
            let _ = job.done.send(match &failure {
                None => Ok(()),
                Some(Error::Full { location, needed, free }) => {
                    Err(Error::Full { location: location.clone(), needed: *needed, free: *free })
                }
                Some(error) => Err(Error::Write { location: self.path.display().to_string(), cause: error.to_string() }),
            });
        }
    }

    /// Makes sure of `total` bytes that were written, and says that they are there. Readers do not wait for the disk.
    fn commit(&mut self, changes: &[Change], total: u64) -> Result<(), Error> {
        self.data.sync_data().map_err(|e| cannot_write(&self.path, &e, total))?;
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).append(changes)?;
        self.journal.sync_data().map_err(|e| cannot_write(&self.path, &e, total))
    }

    fn write_bytes(&mut self, job: &Job) -> Result<(), Error> {
        let written = self.data.seek(SeekFrom::Start(job.start)).and_then(|_| self.data.write_all(&job.bytes));
        written.map_err(|e| cannot_write(&self.path, &e, job.bytes.len() as u64))
    }
}
