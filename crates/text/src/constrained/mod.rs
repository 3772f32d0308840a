//! Constrained sampling: the tokens with which an answer can go on and still be of the form that was asked for.

mod mask;
mod turn;

pub use mask::Mask;
pub use turn::{Content, Opening, Turn};

use std::sync::Arc;

use serde_json::Value;

use crate::{Error, Tokenizer, platform};

/// What a text must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// JSON of this schema.
    Json(Value),
    /// A grammar in llguidance's variant of Lark, whose rule `start` is the text.
    Lark(String),
}

/// A vocabulary as grammars are matched against it. It takes memory and time, so it is made once.
#[derive(Debug)]
pub struct Grammars {
    inner: platform::Grammars,
    /// Every token that is text.
    text: Arc<Mask>,
}

/// Follows one text, token by token.
#[derive(Clone, Debug)]
pub struct Matcher {
    inner: Box<platform::Matcher>,
    text: Arc<Mask>,
}

/// The bytes of token i are `bytes[ends[i - 1]..ends[i]]`; tokens that are no text have none.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<u32>,
}

/// Longer tokens are never allowed; the trie's depth is limited.
const MAX_TOKEN_BYTES: usize = 512;
/// Bytes of all tokens together, and so nodes of the trie.
const MAX_TRIE_BYTES: usize = 1 << 22;

impl Grammars {
    /// # Errors
    /// [`Error::VocabTooLarge`]; [`Error::NoGrammars`] where what follows grammars has to be loaded and cannot be.
    pub async fn new(tokenizer: Arc<Tokenizer>) -> Result<Self, Error> {
        let (mut text, mut words) = (Mask::default(), Words::default());
        for id in 0..tokenizer.vocab_len() as u32 {
            if let Some(bytes) = tokenizer.text_bytes(id).filter(|bytes| !bytes.is_empty() && bytes.len() <= MAX_TOKEN_BYTES) {
                text.allow(id);
                words.bytes.extend_from_slice(bytes);
            }
            words.ends.push(words.bytes.len() as u32);
        }
        if words.bytes.len() >= MAX_TRIE_BYTES {
            return Err(Error::VocabTooLarge { what: "bytes", limit: MAX_TRIE_BYTES as u32 });
        }
        Ok(Self { inner: platform::Grammars::new(&words, tokenizer).await?, text: Arc::new(text) })
    }

    /// Begins a text of `form`.
    ///
    /// # Errors
    /// [`Error::Form`] for a schema or a grammar that cannot be read or met.
    pub fn matcher(&self, form: &Form) -> Result<Matcher, Error> {
        let matcher = Matcher { inner: Box::new(self.inner.matcher(form).map_err(refused)?), text: self.text.clone() };
        // That a text can begin is known before one does.
        matcher.clone().allowed()?;
        Ok(matcher)
    }

    /// Every token that is text.
    pub fn text(&self) -> &Mask {
        &self.text
    }
}

impl Matcher {
    /// Takes the next token of the text.
    ///
    /// # Errors
    /// [`Error::Form`] for one that was not allowed, or if the grammar becomes too complex.
    pub fn push(&mut self, id: u32) -> Result<(), Error> {
        self.inner.push(id).map_err(refused)
    }

    /// The tokens that may come next; none if the text cannot go on.
    ///
    /// # Errors
    /// [`Error::Form`] if the grammar becomes too complex.
    pub fn allowed(&mut self) -> Result<Mask, Error> {
        // A grammar may name tokens by their ids, control tokens too.
        self.inner.allowed().map(|words| self.text.and(&words)).map_err(refused)
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    /// [`Error::Form`] if the grammar became too complex.
    pub fn is_whole(&mut self) -> Result<bool, Error> {
        self.inner.is_whole().map_err(refused)
    }
}

fn refused(reason: String) -> Error {
    Error::Form { reason }
}

/// The tokens of `bytes`; none where these spell something else, as for half a character.
pub(crate) fn spell(tokenizer: &Tokenizer, bytes: &[u8]) -> Vec<u32> {
    let ids = std::str::from_utf8(bytes).map_or(Vec::new(), |text| tokenizer.encode(text));
    let spelled = ids.iter().filter_map(|&id| tokenizer.token_bytes(id)).flatten();
    if spelled.eq(bytes) { ids } else { Vec::new() }
}
