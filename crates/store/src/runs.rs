//! Runs of bytes, and which of them one request should fetch.

use std::ops::Range;

/// One run of bytes of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    pub shard: usize,
    /// From the start of the shard.
    pub range: Range<u64>,
}

/// Unwanted bytes between two runs which are fetched along, rather than that another request is made.
const GAP_BYTES: u64 = 64 << 10;
/// The share of a request that may be unwanted, as a divisor.
const GAP_SHARE: u64 = 64;
/// Where a request is long enough: its round trip is a small part of its time.
const JOINED_BYTES: u64 = 4 << 20;

/// Runs that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) shard: usize,
    /// From the start of the first run to the end of the last.
    pub(crate) range: Range<u64>,
    /// Numbers of the runs.
    pub(crate) runs: Vec<usize>,
}

/// Puts runs together that lie close to each other, in order of their place in the file. Empty runs are in no group.
///
/// In a shard that is not remote, nothing is gained by reading what is not wanted: there runs are joined only where
/// they touch.
pub(crate) fn group(runs: &[Run], is_remote: impl Fn(usize) -> bool) -> Vec<Group> {
    let mut order: Vec<usize> = (0..runs.len()).filter(|&i| !runs[i].range.is_empty()).collect();
    order.sort_by_key(|&i| (runs[i].shard, runs[i].range.start, runs[i].range.end));
    let mut groups: Vec<Group> = Vec::new();
    let mut unwanted = 0;
    for i in order {
        let Run { shard, range } = &runs[i];
        if let Some(group) = groups.last_mut()
            && group.shard == *shard
        {
            let gap = range.start.saturating_sub(group.range.end);
            let joined = range.end.max(group.range.end) - group.range.start;
            let is_near = gap == 0 || is_remote(*shard) && gap <= GAP_BYTES && unwanted + gap <= joined / GAP_SHARE;
            let overlaps = range.start < group.range.end;
            if overlaps || is_near && joined <= JOINED_BYTES {
                unwanted += gap;
                group.range.end = group.range.end.max(range.end);
                group.runs.push(i);
                continue;
            }
        }
        unwanted = 0;
        groups.push(Group { shard: *shard, range: range.clone(), runs: vec![i] });
    }
    groups
}

/// Ranges in order of their starts, joined where they touch or overlap.
pub(crate) fn merge(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(runs: &[(usize, Range<u64>)], is_remote: bool) -> Vec<(usize, Range<u64>, Vec<usize>)> {
        let runs: Vec<Run> = runs.iter().map(|(shard, range)| Run { shard: *shard, range: range.clone() }).collect();
        group(&runs, |_| is_remote).into_iter().map(|group| (group.shard, group.range, group.runs)).collect()
    }

    #[test]
    fn runs_that_touch_or_overlap_are_one_request_in_file_order() {
        let got = ranges(&[(0, 100..200), (1, 0..10), (0, 0..100), (0, 150..160), (0, 50..50)], true);
        assert_eq!(got, [(0, 0..200, vec![2, 0, 3]), (1, 0..10, vec![1])]);
    }

    #[test]
    fn a_gap_is_read_along_only_where_it_is_small_beside_the_runs() {
        let mib = 1 << 20;
        assert_eq!(ranges(&[(0, 0..mib), (0, mib + 1000..2 * mib)], true).len(), 1);
        assert_eq!(ranges(&[(0, 0..mib), (0, mib + 1000..2 * mib)], false).len(), 2);
        assert_eq!(ranges(&[(0, 0..1000), (0, 2000..3000)], true).len(), 2);
        assert_eq!(ranges(&[(0, 0..mib), (0, mib + 70_000..2 * mib)], true).len(), 2);
    }

    #[test]
    fn gaps_together_stay_a_small_share_of_a_request() {
        let runs: Vec<_> = (0..30_u64).map(|i| (0, i * 100_000..i * 100_000 + 97_000)).collect();
        let groups = ranges(&runs, true);
        let fetched: u64 = groups.iter().map(|(_, range, _)| range.end - range.start).sum();
        assert!(fetched as f64 <= 30.0 * 97_000.0 * 1.016, "{fetched}");
    }

    #[test]
    fn long_runs_stay_apart_so_that_they_come_at_once() {
        let slice = 4_406_400;
        assert_eq!(ranges(&[(0, 0..slice), (0, slice..2 * slice)], true).len(), 2);
    }
}
