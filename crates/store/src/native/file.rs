//! Files of this machine. Reads block the thread they are polled on: a disk answers sooner than a thread wakes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::source::{WINDOW_BYTES, check_range, give};
use crate::{Error, LocalFuture, Sink, Source};

/// Bytes asked for at once: a disk that is asked for little at a time waits in between.
const READ_BYTES: usize = 4 << 20;

/// A file on this machine.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    name: String,
    size: u64,
}

impl LocalFile {
    /// # Errors
    /// [`Error::Open`] if `path` is no file that can be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let fail = |cause: String| Error::Open { location: name.clone(), cause };
        let meta = File::open(path).and_then(|file| file.metadata()).map_err(|e| fail(e.to_string()))?;
        if !meta.is_file() {
            return Err(fail("not a file".to_owned()));
        }
        Ok(Self { path: path.to_owned(), size: meta.len(), name })
    }
}

impl Source for LocalFile {
    fn location(&self) -> &str {
        &self.name
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.size) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_range(&self.name, &range, self.size)?;
            let fail = |e: io::Error| Error::Read { location: self.name.clone(), start: range.start, end: range.end, cause: e.to_string() };
            let mut file = File::open(&self.path).map_err(fail)?;
            file.seek(SeekFrom::Start(range.start)).map_err(fail)?;
            let mut left = range.end - range.start;
            let mut buffer = vec![0; READ_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
            while left > 0 {
                let n = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                file.read_exact(&mut buffer[..n]).map_err(fail)?;
                for window in buffer[..n].chunks(WINDOW_BYTES) {
                    give(&self.name, sink, window)?;
                }
                left -= n as u64;
            }
            Ok(())
        })
    }
}
