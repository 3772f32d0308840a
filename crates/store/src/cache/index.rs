//! Which bytes of a file are kept.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Change, Chunk};

/// Chunks by their first byte. No two overlap.
#[derive(Debug, Default)]
pub(crate) struct Index {
    chunks: BTreeMap<u64, Chunk>,
    bytes: u64,
    /// Times that something was lost.
    losses: u64,
}

impl Index {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Kept(chunk) => {
                self.remove(&chunk.range());
                self.bytes += u64::from(chunk.len);
                self.chunks.insert(chunk.start, *chunk);
            }
            Change::Lost(range) => {
                self.losses += 1;
                self.remove(range);
            }
        }
    }

    fn remove(&mut self, range: &Range<u64>) {
        while let Some(chunk) = self.before(range.end).filter(|chunk| chunk.range().end > range.start) {
            self.chunks.remove(&chunk.start);
            self.bytes -= u64::from(chunk.len);
        }
    }

    /// The last chunk that begins before `end`.
    fn before(&self, end: u64) -> Option<Chunk> {
        self.chunks.range(..end).next_back().map(|(_, chunk)| *chunk)
    }

    /// The chunk in which byte `at` lies.
    pub(crate) fn at(&self, at: u64) -> Option<Chunk> {
        self.before(at.saturating_add(1)).filter(|chunk| chunk.range().end > at)
    }

    /// Where the first chunk at or after `at` begins.
    pub(crate) fn next_from(&self, at: u64) -> Option<u64> {
        if self.at(at).is_some() { Some(at) } else { self.chunks.range(at..).next().map(|(&start, _)| start) }
    }

    /// The chunks that follow each other without a gap from the one in which `at` lies until `end`.
    pub(crate) fn row(&self, at: u64, end: u64) -> Vec<Chunk> {
        let mut row = Vec::new();
        let mut next = at;
        while next < end
            && let Some(chunk) = self.at(next)
        {
            next = chunk.range().end;
            row.push(chunk);
        }
        row
    }

    /// Of `range`.
    pub(crate) fn bytes_of(&self, range: &Range<u64>) -> u64 {
        let first = self.at(range.start).map_or(range.start, |chunk| chunk.start);
        let overlap = |chunk: &Chunk| chunk.range().end.min(range.end) - chunk.start.max(range.start);
        self.chunks.range(first..range.end.max(first)).map(|(_, chunk)| overlap(chunk)).sum()
    }

    /// The parts of `range` that are in no chunk, in order.
    pub(crate) fn gaps(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let next = self.next_from(at).map_or(range.end, |next| next.min(range.end));
            if next > at {
                gaps.push(at..next);
            }
            at = self.at(next).map_or(range.end, |chunk| chunk.range().end);
        }
        gaps
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A number that grows whenever something is lost.
    pub(crate) fn losses(&self) -> u64 {
        self.losses
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(start: u64, len: u32) -> Change {
        Change::Kept(Chunk { start, len, sum: 0 })
    }

    fn index(changes: &[Change]) -> Index {
        let mut index = Index::default();
        changes.iter().for_each(|change| index.apply(change));
        index
    }

    #[test]
    fn chunks_are_found_by_any_of_their_bytes() {
        let index = index(&[kept(10, 5), kept(15, 5), kept(30, 1)]);
        let start = |at| index.at(at).map(|chunk| chunk.start);
        assert_eq!([9, 10, 14, 15, 19, 20, 30, 31].map(start), [None, Some(10), Some(10), Some(15), Some(15), None, Some(30), None]);
        assert_eq!(
            (index.next_from(0), index.next_from(12), index.next_from(20), index.next_from(31)),
            (Some(10), Some(12), Some(30), None)
        );
        assert_eq!(index.row(12, 31).len(), 2);
        assert_eq!(index.bytes_of(&(12..31)), 9);
        assert_eq!((index.bytes_of(&(0..u64::MAX)), index.bytes()), (11, 11));
        assert_eq!(index.bytes_of(&(11..11)), 0);
        assert_eq!(index.gaps(&(0..40)), [0..10, 20..30, 31..40]);
        assert!(index.gaps(&(11..20)).is_empty());
    }

    #[test]
    fn a_new_chunk_takes_the_place_of_those_it_overlaps() {
        let mut index = index(&[kept(0, 10), kept(10, 10), kept(20, 10)]);
        index.apply(&kept(5, 10));
        assert_eq!(index.chunks().map(|chunk| chunk.start).collect::<Vec<_>>(), [5, 20]);
        index.apply(&Change::Lost(14..21));
        assert_eq!(index.bytes(), 0);
    }
}
