//! Digits come to an end: a schema bounds what a number is or when a time lies, but not how many digits say so, and a weak model may
//! go on with them for ever.

use toktrie::{SimpleVob, TokTrie};

/// Several times what an f64 needs with its sign, point and exponent.
const MOST: u32 = 100;
/// Where more bytes than these may come next, the text is free, and so are its digits.
const FEW: u32 = 64;

/// How many of a number's bytes a JSON text ends with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digits {
    n: u32,
}

impl Digits {
    /// Goes on with the text.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.n = if is_of_number(*byte) { self.n + 1 } else { 0 };
        }
    }

    /// Of the `allowed` tokens those that go on with something else, if there are enough digits.
    pub(crate) fn end(&self, allowed: &SimpleVob, trie: &TokTrie) -> Option<Vec<u32>> {
        if self.n < MOST {
            return None;
        }
        let mut is_first = [false; 256];
        let mut others = vec![0; allowed.as_slice().len()];
        for id in allowed.iter() {
            let Some(&first) = trie.token(id).first() else { continue };
            is_first[usize::from(first)] = true;
            others[id as usize / 32] |= u32::from(!is_of_number(first)) << (id % 32);
        }
        let is_free = is_first.iter().filter(|is| **is).count() as u32 > FEW;
        (!is_free).then_some(others)
    }
}

/// Whether a number may have this byte in it.
fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}
