//! Where each kept byte of a file lies.

use std::collections::BTreeMap;
use std::ops::Range;

use super::catalogue::{Row, What};

/// Chunks by their first byte, each with the extent it is in. No two overlap: a newer one takes the place of older ones.
#[derive(Debug, Default)]
pub(super) struct Places {
    chunks: BTreeMap<u64, Place>,
    extents: BTreeMap<u64, Extent>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    end: u64,
    /// Number of its row.
    n: u64,
}

/// Bytes that lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Of the file.
    pub(super) start: u64,
    pub(super) len: u64,
    /// Where in the OPFS file, unless it is a `Blob`.
    pub(super) at: Option<u64>,
    /// Chunks that still count.
    live: usize,
}

/// A part of an extent that is to be read at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) n: u64,
    pub(super) extent: Extent,
    /// Of the file.
    pub(super) range: Range<u64>,
    /// Where the chunks in it end, in order.
    pub(super) ends: Vec<u64>,
}

impl Places {
    /// Enters the next row; returns the numbers of the extents that it left without a chunk.
    pub(super) fn apply(&mut self, row: &Row) -> Vec<u64> {
        let n = row.n as u64;
        match &row.what {
            What::Lost(range) => self.remove(range),
            What::Kept { chunks, at } => {
                let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
                    return Vec::new();
                };
                let whole = first.start..last.range().end;
                let dead = self.remove(&whole);
                self.chunks.extend(chunks.iter().map(|chunk| (chunk.start, Place { end: chunk.range().end, n })));
                self.extents.insert(n, Extent { start: whole.start, len: whole.end - whole.start, at: *at, live: chunks.len() });
                dead
            }
        }
    }

    fn remove(&mut self, range: &Range<u64>) -> Vec<u64> {
        let mut dead = Vec::new();
        while let Some((&start, &place)) = self.chunks.range(..range.end).next_back().filter(|(_, place)| place.end > range.start) {
            self.chunks.remove(&start);
            if let Some(extent) = self.extents.get_mut(&place.n) {
                extent.live -= 1;
                if extent.live == 0 {
                    self.extents.remove(&place.n);
                    dead.push(place.n);
                }
            }
        }
        dead
    }

    /// Bytes of the file that are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|(start, place)| place.end - start).sum()
    }

    /// The parts that make up `range`; `None` if some of it is not kept.
    pub(super) fn parts(&self, range: &Range<u64>) -> Option<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let (_, place) = self.chunks.range(..=at).next_back().filter(|(_, place)| place.end > at)?;
            let end = place.end.min(range.end);
            match parts.last_mut().filter(|part| part.n == place.n) {
                Some(part) => {
                    part.range.end = end;
                    part.ends.push(end);
                }
                None => parts.push(Part { n: place.n, extent: *self.extents.get(&place.n)?, range: at..end, ends: vec![end] }),
            }
            at = end;
        }
        Some(parts)
    }

    /// Where in the OPFS file `len` bytes have room: the first gap that is large enough, or its end.
    pub(super) fn room_for(&self, len: u64) -> u64 {
        let mut taken: Vec<_> = self.extents.values().filter_map(|extent| Some((extent.at?, extent.len))).collect();
        taken.sort_unstable();
        let mut free = 0;
        for (at, taken) in taken {
            if at >= free + len {
                break;
            }
            free = free.max(at + taken);
        }
        free
    }

    /// Bytes of the OPFS file up to the end of the last extent in it.
    pub(super) fn file_end(&self) -> u64 {
        self.extents.values().filter_map(|extent| Some(extent.at? + extent.len)).max().unwrap_or(0)
    }
}
