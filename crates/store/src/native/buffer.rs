//! Host memory for bytes that stay.

use std::ops::ControlFlow;

use crate::Sink;
use crate::source::WINDOW_BYTES;

/// A fixed number of bytes.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// Zeros; `None` if the machine has not so much memory.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(bytes).ok()?;
        buffer.resize(bytes, 0);
        Some(Self(buffer))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts `piece` at `at`.
    ///
    /// # Panics
    /// If it does not end inside.
    pub(crate) fn write(&mut self, at: usize, piece: &[u8]) {
        self.0[at..at + piece.len()].copy_from_slice(piece);
    }

    /// Hands all bytes on in pieces of at most [`WINDOW_BYTES`], until the sink breaks.
    pub(crate) fn give(&self, sink: &mut Sink<'_>) -> ControlFlow<()> {
        self.0.chunks(WINDOW_BYTES).try_for_each(sink)
    }
}
