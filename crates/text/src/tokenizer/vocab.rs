//! The tokens of a vocabulary: all their bytes in one buffer, found by id and by content.

use super::byte_level;
use super::table::Table;
use crate::Error;

const NO_ID: u32 = u32::MAX;

/// `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Ordinary text.
    Normal,
    /// Stands for what has no token.
    Unknown,
    /// Markup of the conversation, such as `<|start|>`.
    Control,
    /// Added after training, such as `<think>`.
    UserDefined,
    /// Padding rows of the embedding that were never trained.
    Unused,
    Byte,
    /// Of type normal, but not written in the byte-level alphabet: no text encodes to it.
    Literal,
}

impl Kind {
    fn from_gguf(value: i32) -> Self {
        match value {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            // 0, "undefined", is what writers put that do not know.
            _ => Self::Normal,
        }
    }

    fn is_text(&self) -> bool {
        *self == Self::Normal
    }

    fn is_special(&self) -> bool {
        matches!(self, Self::Control | Self::UserDefined)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Vocab {
    /// The bytes of token i are `bytes[ends[i - 1]..ends[i]]`.
    bytes: Vec<u8>,
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    /// Ids of the tokens of text by their bytes; the lowest id, where several have the same.
    text: Table<u32>,
    /// Ids of control and user-defined tokens by their text.
    special: Table<u32>,
    /// The lengths in bytes that special tokens have, longest first, and the bytes that they begin with.
    special_lens: Vec<usize>,
    special_starts: [bool; 256],
}

impl Vocab {
    /// `tokens` as in `tokenizer.ggml.tokens`; `types` as in `tokenizer.ggml.token_type`, one for each token, or
    /// empty where the file has none: all are text then.
    pub(super) fn new<'a>(tokens: impl Iterator<Item = &'a [u8]>, types: &[i32]) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(types.len());
        let mut kinds = Vec::with_capacity(types.len());
        for (index, token) in tokens.enumerate() {
            let mut kind = types.get(index).map_or(Kind::Normal, |&value| Kind::from_gguf(value));
            if kind != Kind::Normal {
                bytes.extend_from_slice(token);
            } else if !byte_level::decode(token, &mut bytes) {
                bytes.extend_from_slice(token);
                kind = Kind::Literal;
            }
            let end = u32::try_from(bytes.len()).map_err(|_| too_large("bytes"))?;
            ends.push(end);
            kinds.push(kind);
        }
        if !types.is_empty() && types.len() != ends.len() {
            return Err(Error::TokenTypes { expected: ends.len(), got: types.len() });
        }
        if u32::try_from(ends.len()).is_err() {
            return Err(too_large("tokens"));
        }
        bytes.shrink_to_fit();

        let count = |wanted: fn(&Kind) -> bool| kinds.iter().filter(|kind| wanted(kind)).count();
        let mut vocab = Self {
            text: Table::new(count(Kind::is_text), NO_ID),
            special: Table::new(count(Kind::is_special), NO_ID),
            special_lens: Vec::new(),
            special_starts: [false; 256],
            bytes,
            ends,
            kinds,
        };
        vocab.index();
        Ok(vocab)
    }

    /// Fills the tables by content.
    fn index(&mut self) {
        let (bytes, ends) = (&self.bytes, &self.ends);
        for (id, kind) in (0..).zip(&self.kinds) {
            let Some(token) = slice(bytes, ends, id).filter(|token| !token.is_empty()) else {
                continue;
            };
            let is_token = |other: u32| slice(bytes, ends, other) == Some(token);
            if kind.is_text() {
                self.text.insert(token, id, is_token);
            } else if kind.is_special()
                // Only whole characters can be cut out of a text.
                && std::str::from_utf8(token).is_ok()
                && self.special.insert(token, id, is_token)
            {
                self.special_lens.push(token.len());
                self.special_starts[usize::from(token[0])] = true;
            }
        }
        self.special_lens.sort_unstable_by(|a, b| b.cmp(a));
        self.special_lens.dedup();
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        slice(&self.bytes, &self.ends, id)
    }

    /// The token of text with exactly these bytes.
    pub(super) fn text_id(&self, bytes: &[u8]) -> Option<u32> {
        self.text.get(bytes, |id| self.bytes(id) == Some(bytes))
    }

    /// The control or user-defined token with exactly this text.
    pub(super) fn special_id(&self, text: &[u8]) -> Option<u32> {
        self.special.get(text, |id| self.bytes(id) == Some(text))
    }

    /// The first special token in `text`, the longest where several begin: (start, end, id).
    pub(super) fn find_special(&self, text: &[u8]) -> Option<(usize, usize, u32)> {
        (0..text.len()).filter(|&start| self.special_starts[usize::from(text[start])]).find_map(|start| {
            self.special_lens.iter().find_map(|len| {
                let end = start + len;
                Some((start, end, self.special_id(text.get(start..end)?)?))
            })
        })
    }
}

fn too_large(what: &'static str) -> Error {
    Error::VocabTooLarge { what, limit: u32::MAX }
}

fn slice<'a>(bytes: &'a [u8], ends: &[u32], id: u32) -> Option<&'a [u8]> {
    let id = id as usize;
    let end = *ends.get(id)? as usize;
    let start = id.checked_sub(1).map_or(0, |before| ends[before] as usize);
    bytes.get(start..end)
}
