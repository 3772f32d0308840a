//! Bytes already in memory, for tests and for files made on the fly.

use std::ops::Range;
use std::rc::Rc;

use crate::source::{WINDOW_BYTES, check_range, give};
use crate::{Error, LocalFuture, Sink, Source};

/// A source over bytes in memory.
#[derive(Debug, Clone)]
pub struct Memory {
    name: String,
    bytes: Rc<[u8]>,
}

impl Memory {
    /// `name` is what errors call it.
    pub fn new(name: impl Into<String>, bytes: impl Into<Rc<[u8]>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl Source for Memory {
    fn location(&self) -> &str {
        &self.name
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.bytes.len() as u64) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_range(&self.name, &range, self.bytes.len() as u64)?;
            // Inside the slice now, so both ends fit a usize.
            let bytes = &self.bytes[range.start as usize..range.end as usize];
            for piece in bytes.chunks(WINDOW_BYTES) {
                give(&self.name, sink, piece)?;
            }
            Ok(())
        })
    }
}
