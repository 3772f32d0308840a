//! `llguidance` over a vocabulary: which tokens a JSON schema or a grammar allows. Natively `text` calls it; for the browser it is a wasm
//! module of its own, which only those fetch who constrain an answer.

mod digits;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::TopLevelGrammar;
use llguidance::panic_utils::catch_unwind;
use serde_json::{Value, json};
use toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};

use crate::digits::Digits;

/// A vocabulary as grammars are matched against it. Of 201,088 tokens it takes about 25 MB and half a second.
pub struct Grammars {
    factory: ParserFactory,
    env: TokEnv,
}

/// Follows one text, token by token. Errors are reasons in words.
#[derive(Clone)]
pub struct Matcher {
    inner: llguidance::Matcher,
    env: TokEnv,
    /// Those of JSON.
    digits: Option<Digits>,
}

/// The tokens of some bytes, as the model was taught to spell; none if it cannot.
pub type Spell = Box<dyn Fn(&[u8]) -> Vec<u32> + Send + Sync>;

/// A control token that no vocabulary has: where there is none at all the library panics at grammars that name one.
const NO_CONTROL_TOKEN: &[u8] = b"\xFF<|none|>";

/// Between the parts of JSON: models that are free to may go on with white space for ever.
const WHITE_SPACE: &str = r"( |\n[ \t]{0,32})";

impl Grammars {
    /// The bytes of token i are `bytes[ends[i - 1]..ends[i]]`, none of a token that no text may have.
    ///
    /// # Errors
    /// What the library says of the vocabulary.
    pub fn new(bytes: &[u8], ends: &[u32], spell: Spell) -> Result<Self, String> {
        let mut start = 0;
        let mut words: Vec<Vec<u8>> = Vec::with_capacity(ends.len() + 1);
        for end in ends {
            words.push(bytes.get(start..*end as usize).unwrap_or_default().to_vec());
            start = *end as usize;
        }
        // Without control tokens: no grammar can let one into a text.
        words.push(NO_CONTROL_TOKEN.to_vec());
        // What ends a text is not the grammar's concern.
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, INVALID_TOKEN), &words);
        drop(words);
        let env: TokEnv = Arc::new(Env { spell, trie });
        let mut factory = ParserFactory::new_simple(&env).map_err(reason)?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, env })
    }

    /// Begins JSON of `schema`.
    ///
    /// # Errors
    /// A schema that cannot be read.
    pub fn json(&self, schema: Value) -> Result<Matcher, String> {
        self.matcher(TopLevelGrammar::from_json_schema(with_bounded_space(schema)), Some(Digits::default()))
    }

    /// Begins a text of `grammar`, in the library's variant of Lark.
    ///
    /// # Errors
    /// A grammar that cannot be read.
    pub fn lark(&self, grammar: String) -> Result<Matcher, String> {
        self.matcher(TopLevelGrammar::from_lark(grammar), None)
    }

    fn matcher(&self, grammar: TopLevelGrammar, digits: Option<Digits>) -> Result<Matcher, String> {
        let mut parser = catch_unwind(AssertUnwindSafe(|| self.factory.create_parser(grammar))).map_err(reason)?;
        // Their words may be the request's own.
        match parser.grammar_warnings().len() {
            0 => {}
            n => log::debug!("{n} warnings of a grammar"),
        }
        let inner = llguidance::Matcher::new(Ok(parser));
        Ok(Matcher { inner, env: self.env.clone(), digits })
    }
}

impl Matcher {
    /// Takes the next token of the text.
    ///
    /// # Errors
    /// One that was not allowed; a grammar that becomes too complex.
    pub fn push(&mut self, id: u32) -> Result<(), String> {
        self.inner.consume_token(id).map_err(reason)?;
        if let Some(digits) = &mut self.digits {
            digits.push(self.env.tok_trie().token(id));
        }
        Ok(())
    }

    /// The tokens that may come next, bit `id % 32` of word `id / 32`; empty if the text cannot go on. Control tokens may be among them.
    /// After many digits there are more only where they may not end.
    ///
    /// # Errors
    /// A grammar that becomes too complex.
    pub fn allowed(&mut self) -> Result<Vec<u32>, String> {
        // At its end a matcher has no mask.
        if self.inner.stop_reason().is_ok() && self.inner.is_stopped() {
            return Ok(Vec::new());
        }
        let allowed = self.inner.compute_mask().map_err(reason)?;
        match self.digits.as_ref().and_then(|digits| digits.end(&allowed, self.env.tok_trie())) {
            Some(others) if others.iter().any(|word| *word != 0) || self.is_whole()? => Ok(others),
            _ => Ok(allowed.as_slice().to_vec()),
        }
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    /// A grammar that became too complex.
    pub fn is_whole(&mut self) -> Result<bool, String> {
        self.inner.is_accepting().map_err(reason)
    }
}

/// `schema` with bounded white space, unless it brings options of its own.
fn with_bounded_space(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.entry("x-guidance").or_insert_with(|| json!({ "whitespace_pattern": WHITE_SPACE }));
    }
    schema
}

/// The library's reason without the state that it adds for its developers.
fn reason(error: impl fmt::Display) -> String {
    let reason = error.to_string();
    let end = reason.find("\n<").unwrap_or(reason.len());
    match reason[..end].trim_end() {
        "NoExtensionBias" => "no token of the vocabulary fits",
        reason => reason,
    }
    .to_owned()
}

/// How the library reads the vocabulary.
struct Env {
    spell: Spell,
    trie: TokTrie,
}

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// Byte by byte where the model's spelling says something else, as for half a character.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        match (self.spell)(bytes) {
            ids if ids.is_empty() => self.trie.greedy_tokenize(bytes),
            ids => ids,
        }
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
