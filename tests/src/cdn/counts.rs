//! What was sent.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Fault;

/// Counts since the start, or since they were reset.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// All but those about the server itself.
    pub requests: u64,
    /// Of bodies of files.
    pub bytes: u64,
    /// Whether a byte is kept back now.
    pub is_held: bool,
    /// How often each fault happened.
    pub faults: BTreeMap<Fault, u64>,
    /// By name: parts of the file that were sent, in the order in which they began.
    pub sent: BTreeMap<String, Vec<Range<u64>>>,
    /// Values of `Authorization` by path of the request.
    pub authorizations: Vec<(String, String)>,
    /// Paths of requests.
    pub paths: Vec<String>,
    /// How often each end of a range of each file was asked for.
    asked: BTreeMap<(String, Option<u64>), u32>,
}

impl Counts {
    /// How often a request for bytes up to `end` came before; counts this one.
    pub(super) fn nth(&mut self, name: &str, end: Option<u64>) -> u32 {
        let times = self.asked.entry((name.to_owned(), end)).or_default();
        *times += 1;
        *times - 1
    }

    pub(super) fn count_sent(&mut self, name: &str, range: Range<u64>) {
        self.bytes += range.end - range.start;
        let sent = self.sent.entry(name.to_owned()).or_default();
        // Most likely one of those that are being sent goes on.
        match sent.iter_mut().rev().take(16).find(|before| before.end == range.start) {
            Some(before) => before.end = range.end,
            None => sent.push(range),
        }
    }

    /// Bytes that were sent more often than once, each time counted.
    pub fn bytes_again(&self) -> u64 {
        self.bytes - self.bytes_once()
    }

    /// Bytes that were sent at least once.
    pub fn bytes_once(&self) -> u64 {
        self.sent.values().map(|ranges| union(ranges)).sum()
    }

    pub fn json(&self) -> serde_json::Value {
        let faults: BTreeMap<_, _> = self.faults.iter().map(|(fault, n)| (fault.name(), n)).collect();
        let sent: BTreeMap<_, _> =
            self.sent.iter().map(|(name, ranges)| (name, ranges.iter().map(|r| [r.start, r.end]).collect::<Vec<_>>())).collect();
        serde_json::json!({
            "requests": self.requests, "bytes": self.bytes, "bytes_again": self.bytes_again(), "is_held": self.is_held,
            "faults": faults, "sent": sent,
        })
    }
}

/// Bytes in any of `ranges`.
fn union(ranges: &[Range<u64>]) -> u64 {
    let mut ranges = ranges.to_vec();
    ranges.sort_by_key(|range| range.start);
    let (mut bytes, mut end) = (0, 0);
    for range in ranges {
        bytes += range.end.saturating_sub(range.start.max(end));
        end = end.max(range.end);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sent_again_are_told_from_those_sent_once() {
        let mut counts = Counts::default();
        for range in [0..10, 5..15, 20..30, 0..10, 29..29] {
            counts.count_sent("a", range);
        }
        counts.count_sent("b", 0..10);
        assert_eq!((counts.bytes, counts.bytes_once(), counts.bytes_again()), (50, 35, 15));
    }
}
