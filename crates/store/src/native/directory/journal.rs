//! Which bytes of a data file are there: records of fixed size, appended after the bytes that they speak of.
//!
//! A record is 32 bytes, little endian: start u64, length u32, kind u32, sum u64, and XXH3 of these 24 bytes. What does not
//! sum up is no record: the torn end of a write, which the next writer writes over, or damage, which costs
//! the one chunk. Several processes append, each under a lock on the file; everyone reads without.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{FORMAT, cannot_read, cannot_write};
use crate::Error;
use crate::cache::{CHUNK_BYTES, Change, Chunk, checksum};

const HEAD: &[u8; RECORD] = b"quire journal 1\n................";
const RECORD: usize = 32;
const KEPT: u32 = 1;
const LOST: u32 = 2;

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Up to where it has been read, whole records.
    end: u64,
}

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(|e| cannot_read(path, &e))?;
        Ok(Self { path: path.to_owned(), file, end: 0 })
    }

    /// What was appended since the last call, by this or another process.
    pub(super) fn refresh(&mut self) -> Result<Vec<Change>, Error> {
        let bytes = self.unread().map_err(|e| cannot_read(&self.path, &e))?;
        let mut records = bytes.as_chunks::<RECORD>().0;
        if self.end == 0
            && let Some((head, rest)) = records.split_first()
        {
            if head != HEAD {
                let got = String::from_utf8_lossy(&head[..16]).trim().to_owned();
                return Err(Error::Format { location: self.path.display().to_string(), known: FORMAT, got });
            }
            self.end = RECORD as u64;
            records = rest;
        }
        let changes: Vec<_> = records.iter().map(parse).collect();
        // The last ones may be on their way still.
        let whole = changes.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.end += (whole * RECORD) as u64;
        Ok(changes.into_iter().flatten().collect())
    }

    fn unread(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if self.file.metadata()?.len() > self.end {
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// Appends `changes`; gives what others have appended before.
    pub(super) fn append(&mut self, changes: &[Change]) -> Result<Vec<Change>, Error> {
        self.file.lock().or_else(without_locks).map_err(|e| cannot_write(&self.path, &e, 0))?;
        let done = self.refresh().and_then(|others| {
            let mut bytes = if self.end == 0 { HEAD.to_vec() } else { Vec::new() };
            changes.iter().for_each(|change| write(change, &mut bytes));
            self.append_bytes(&bytes).map_err(|e| cannot_write(&self.path, &e, bytes.len() as u64))?;
            Ok(others)
        });
        let _ = self.file.unlock();
        done
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        // What a process that died has left half written.
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// The file, for those who must be sure of what was appended.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Some file systems know no locks: there, two processes at once are two too many, but one works.
pub(super) fn without_locks(e: io::Error) -> io::Result<()> {
    if e.kind() == io::ErrorKind::Unsupported { Ok(()) } else { Err(e) }
}

fn write(change: &Change, bytes: &mut Vec<u8>) {
    let mut record = |start: u64, len: u32, kind: u32, sum: u64| {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&start.to_le_bytes());
        record[8..12].copy_from_slice(&len.to_le_bytes());
        record[12..16].copy_from_slice(&kind.to_le_bytes());
        record[16..24].copy_from_slice(&sum.to_le_bytes());
        let sum = checksum(&record[..24]);
        record[24..].copy_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(&record);
    };
    match change {
        Change::Kept(chunk) => record(chunk.start, chunk.len, KEPT, chunk.sum),
        Change::Lost(range) => {
            let mut start = range.start;
            while start < range.end {
                let len = u32::try_from(range.end - start).unwrap_or(u32::MAX);
                record(start, len, LOST, 0);
                start += u64::from(len);
            }
        }
    }
}

fn parse(record: &[u8; RECORD]) -> Option<Change> {
    let u64_at = |at: usize| record[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let u32_at = |at: usize| record[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let (start, len, kind, sum) = (u64_at(0)?, u32_at(8)?, u32_at(12)?, u64_at(16)?);
    let end = start.checked_add(u64::from(len))?;
    match kind {
        _ if u64_at(24)? != checksum(&record[..24]) => None,
        KEPT if (1..=CHUNK_BYTES).contains(&(len as usize)) => Some(Change::Kept(Chunk { start, len, sum })),
        LOST => Some(Change::Lost(start..end)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn kept(start: u64) -> Change {
        Change::Kept(Chunk { start, len: 10, sum: start * 7 })
    }

    /// A path of its own, removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("quire-journal-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Self(path)
        }
        fn open(&self) -> Journal {
            Journal::open(&self.0).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn what_one_appends_the_other_reads_once() {
        let place = Place::new("two");
        let (mut a, mut b) = (place.open(), place.open());
        assert_eq!(a.append(&[kept(1), kept(2)]).unwrap(), []);
        assert_eq!(b.append(&[kept(3)]).unwrap(), [kept(1), kept(2)]);
        assert_eq!(a.refresh().unwrap(), [kept(3)]);
        assert_eq!(a.refresh().unwrap(), []);
        assert_eq!(b.append(&[Change::Lost(0..5_000_000_000)]).unwrap(), []);
        let lost = [Change::Lost(0..u64::from(u32::MAX)), Change::Lost(u64::from(u32::MAX)..5_000_000_000)];
        assert_eq!(a.refresh().unwrap(), lost);
    }

    #[test]
    fn a_journal_cut_anywhere_has_its_whole_records_and_takes_more() {
        let place = Place::new("cut");
        place.open().append(&[kept(1), kept(2), kept(3)]).unwrap();
        let whole = std::fs::read(&place.0).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&place.0, &whole[..cut]).unwrap();
            let expected: Vec<_> = [kept(1), kept(2), kept(3)].into_iter().take((cut / RECORD).saturating_sub(1)).collect();
            assert_eq!(place.open().refresh().unwrap(), expected, "{cut}");
            place.open().append(&[kept(9)]).unwrap();
            assert_eq!(place.open().refresh().unwrap(), [expected, vec![kept(9)]].concat(), "{cut}");
        }
    }

    #[test]
    fn a_flipped_byte_costs_one_record_or_is_refused() {
        let place = Place::new("flip");
        place.open().append(&[kept(1), kept(2), kept(3)]).unwrap();
        let whole = std::fs::read(&place.0).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&place.0, &bytes).unwrap();
            match place.open().refresh() {
                Ok(changes) => assert!(at >= RECORD && changes.len() == 2, "{at}: {changes:?}"),
                Err(error) => assert!(at < RECORD && matches!(error, Error::Format { .. }), "{at}: {error}"),
            }
        }
    }
}
