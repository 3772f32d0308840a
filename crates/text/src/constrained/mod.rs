//! Constrained sampling: the tokens with which an answer can go on and still be of the form that was asked for.

mod mask;
mod turn;

pub use mask::Mask;
pub use turn::{Content, Opening, Turn};

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::TopLevelGrammar;
use llguidance::panic_utils::catch_unwind;
use serde_json::{Value, json};
use toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};

use crate::{Error, Tokenizer};

/// What a text must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// JSON of this schema.
    Json(Value),
    /// A grammar in llguidance's variant of Lark, whose rule `start` is the text.
    Lark(String),
}

/// A vocabulary as grammars are matched against it. Of 201,088 tokens it takes about 25 MB and half a second, so it is made once.
pub struct Grammars {
    factory: ParserFactory,
    /// Every token that is text.
    text: Arc<Mask>,
}

/// Follows one text, token by token.
#[derive(Clone)]
pub struct Matcher {
    inner: llguidance::Matcher,
    text: Arc<Mask>,
}

/// A control token that no vocabulary has: where there is none at all the library panics at grammars that name one.
const NO_CONTROL_TOKEN: &[u8] = b"\xFF<|none|>";

/// Longer tokens are never allowed; the trie's depth is limited.
const MAX_TOKEN_BYTES: usize = 512;
/// Bytes of all tokens together, and so nodes of the trie.
const MAX_TRIE_BYTES: usize = 1 << 22;

/// Between the parts of JSON: models that are free to may go on with white space for ever.
const WHITE_SPACE: &str = r"( |\n[ \t]{0,32})";

impl Grammars {
    /// # Errors
    /// [`Error::VocabTooLarge`].
    pub fn new(tokenizer: Arc<Tokenizer>) -> Result<Self, Error> {
        let mut text = Mask::default();
        // Without control tokens: no grammar can let one into a text.
        let mut words: Vec<Vec<u8>> = (0..tokenizer.vocab_len() as u32)
            .map(|id| {
                let bytes = tokenizer.text_bytes(id).filter(|bytes| !bytes.is_empty() && bytes.len() <= MAX_TOKEN_BYTES);
                bytes.map_or(Vec::new(), |bytes| {
                    text.allow(id);
                    bytes.to_vec()
                })
            })
            .collect();
        let too_large = |what, limit: usize| Error::VocabTooLarge { what, limit: limit as u32 };
        if words.iter().map(Vec::len).sum::<usize>() >= MAX_TRIE_BYTES {
            return Err(too_large("bytes", MAX_TRIE_BYTES));
        }
        words.push(NO_CONTROL_TOKEN.to_vec());
        // What ends a text is not the grammar's concern.
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, INVALID_TOKEN), &words);
        drop(words);
        let env: TokEnv = Arc::new(Env { tokenizer, trie });
        let mut factory = ParserFactory::new_simple(&env).map_err(|error| Error::Form { reason: error.to_string() })?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, text: Arc::new(text) })
    }

    /// Begins a text of `form`.
    ///
    /// # Errors
    /// [`Error::Form`] for a schema or a grammar that cannot be read or met.
    pub fn matcher(&self, form: &Form) -> Result<Matcher, Error> {
        let grammar = match form {
            Form::Json(schema) => TopLevelGrammar::from_json_schema(with_bounded_space(schema)),
            Form::Lark(grammar) => TopLevelGrammar::from_lark(grammar.clone()),
        };
        let mut parser = catch_unwind(AssertUnwindSafe(|| self.factory.create_parser(grammar))).map_err(refused)?;
        // Their words may be the request's own.
        match parser.grammar_warnings().len() {
            0 => {}
            n => log::debug!("{n} warnings of a grammar"),
        }
        let matcher = Matcher { inner: llguidance::Matcher::new(Ok(parser)), text: self.text.clone() };
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
        self.inner.consume_token(id).map_err(refused)
    }

    /// The tokens that may come next; none if the text cannot go on.
    ///
    /// # Errors
    /// [`Error::Form`] if the grammar becomes too complex.
    pub fn allowed(&mut self) -> Result<Mask, Error> {
        // At its end a matcher has no mask.
        if self.inner.stop_reason().is_ok() && self.inner.is_stopped() {
            return Ok(Mask::default());
        }
        // A grammar may name tokens by their ids, control tokens too.
        self.inner.compute_mask().map(|mask| self.text.and(mask.as_slice())).map_err(refused)
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    /// [`Error::Form`] if the grammar became too complex.
    pub fn is_whole(&mut self) -> Result<bool, Error> {
        self.inner.is_accepting().map_err(refused)
    }
}

/// `schema` with bounded white space, unless it brings options of its own.
fn with_bounded_space(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.entry("x-guidance").or_insert_with(|| json!({ "whitespace_pattern": WHITE_SPACE }));
    }
    schema
}

/// The library's reason without the state that it adds for its developers.
fn refused(error: impl fmt::Display) -> Error {
    let reason = error.to_string();
    let end = reason.find("\n<").unwrap_or(reason.len());
    let reason = match reason[..end].trim_end() {
        "NoExtensionBias" => "no token of the vocabulary fits",
        reason => reason,
    };
    Error::Form { reason: reason.to_owned() }
}

/// How the library reads our vocabulary.
struct Env {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// As the model was taught to spell; byte by byte where that says something else, as for half a character.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        let ids = std::str::from_utf8(bytes).map_or(Vec::new(), |text| self.tokenizer.encode(text));
        let spelled = ids.iter().filter_map(|&id| self.tokenizer.token_bytes(id)).flatten();
        if spelled.eq(bytes) { ids } else { self.trie.greedy_tokenize(bytes) }
    }
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher").field("stop_reason", &self.inner.stop_reason()).finish_non_exhaustive()
    }
}
