//! Byte-pair merging: the two tokens in a row whose merge ranks lowest become one, leftmost first, until none can.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::byte_level;
use super::table::Table;
use super::vocab::Vocab;
use crate::Error;

/// No merge; also an empty slot of the table, and the end of the list of parts.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Merges {
    /// [left id, right id, rank] under (left id, right id).
    ranks: Table<[u32; 3]>,
    /// The token that each rank makes.
    made: Vec<u32>,
}

impl Merges {
    /// `merges`: `left right` in byte-level text, best first: the rank is the place.
    ///
    /// Vocabularies that rank tokens rather than merges (tiktoken's: o200k, llama 3) are written as all splits of every
    /// token in turn. That is the same: what precedes a token is merged alike wherever it stands, so
    /// only one of its splits ever comes to pass.
    pub(super) fn new<'a>(vocab: &Vocab, merges: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let mut rules = Vec::new();
        let mut made = Vec::new();
        let mut bytes = Vec::new();
        for (index, merge) in merges.enumerate() {
            let text = || String::from_utf8_lossy(merge).into_owned();
            let Some(split) = decode(merge, &mut bytes) else {
                return Err(Error::MergeForm { index, merge: text() });
            };
            let id = |token: &[u8]| {
                vocab.text_id(token).ok_or_else(|| Error::MergeToken { index, merge: text(), token: byte_level::encode(token) })
            };
            let (left, right) = (id(&bytes[..split])?, id(&bytes[split..])?);
            let rank = u32::try_from(index).unwrap_or(NONE);
            if rank == NONE {
                return Err(Error::VocabTooLarge { what: "merges", limit: NONE });
            }
            made.push(id(&bytes)?);
            rules.push([left, right, rank]);
        }
        let mut ranks = Table::new(rules.len(), [NONE; 3]);
        for rule @ [left, right, _] in rules {
            ranks.insert((left, right), rule, |[l, r, _]| (l, r) == (left, right));
        }
        made.shrink_to_fit();
        Ok(Self { ranks, made })
    }

    fn rank(&self, left: u32, right: u32) -> u32 {
        self.ranks.get((left, right), |[l, r, _]| (l, r) == (left, right)).map_or(NONE, |[_, _, rank]| rank)
    }

    /// Merges `parts`, the single-byte tokens of one piece of text, as far as it goes and appends what is left to
    /// `out`. A queue of candidates keeps a piece of n parts at n log n.
    pub(super) fn merge(&self, parts: &mut Parts, out: &mut Vec<u32>) {
        let Parts { list, queue } = parts;
        for at in 1..list.len() {
            let rank = self.rank(list[at - 1].id, list[at].id);
            list[at - 1].rank = rank;
            if rank != NONE {
                queue.push(Reverse((rank, at as u32 - 1)));
            }
        }
        while let Some(Reverse((rank, at))) = queue.pop() {
            let left = at as usize;
            // Entries are never taken out of the queue: one is stale when its part, or the next, has changed.
            if list[left].rank != rank {
                continue;
            }
            let right = list[left].next as usize;
            let after = list[right].next;
            list[right].rank = NONE;
            list[left].id = self.made[rank as usize];
            list[left].next = after;
            list[left].rank = NONE;
            if after != NONE {
                list[after as usize].previous = at;
                self.rank_pair(list, queue, at, after);
            }
            let before = list[left].previous;
            if before != NONE {
                self.rank_pair(list, queue, before, at);
            }
        }
        let mut at = 0;
        while let Some(part) = list.get(at as usize) {
            out.push(part.id);
            at = part.next;
        }
        list.clear();
    }

    fn rank_pair(&self, list: &mut [Part], queue: &mut Queue, left: u32, right: u32) {
        let rank = self.rank(list[left as usize].id, list[right as usize].id);
        list[left as usize].rank = rank;
        if rank != NONE {
            queue.push(Reverse((rank, left)));
        }
    }
}

/// Puts the bytes of both halves of `merge` into `bytes` and says where the second begins; neither is empty.
fn decode(merge: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    let space = merge.iter().position(|&byte| byte == b' ')?;
    bytes.clear();
    let left = byte_level::decode(&merge[..space], bytes);
    let split = bytes.len();
    let right = byte_level::decode(&merge[space + 1..], bytes);
    (left && right && 0 < split && split < bytes.len()).then_some(split)
}

/// (rank, index of the left part), best first.
type Queue = BinaryHeap<Reverse<(u32, u32)>>;

/// A piece of text while it is merged: a list of tokens linked both ways. Reused from piece to piece.
#[derive(Debug, Default)]
pub(super) struct Parts {
    list: Vec<Part>,
    queue: Queue,
}

#[derive(Debug)]
struct Part {
    id: u32,
    /// Indices of the neighbours, `NONE` at the ends.
    previous: u32,
    next: u32,
    /// Rank of the merge with the next part, `NONE` if there is none.
    rank: u32,
}

impl Parts {
    /// Adds a single-byte token at the end of the list.
    pub(super) fn push(&mut self, id: u32) {
        let at = self.list.len() as u32;
        if let Some(last) = self.list.last_mut() {
            last.next = at;
        }
        self.list.push(Part { id, previous: at.checked_sub(1).unwrap_or(NONE), next: NONE, rank: NONE });
    }
}
