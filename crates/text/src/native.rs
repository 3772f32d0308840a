//! What follows grammars, linked in.

use std::sync::Arc;

pub(crate) use grammar::Matcher;

use crate::constrained::{Form, Words, spell};
use crate::{Error, Tokenizer};

#[derive(Debug)]
pub(crate) struct Grammars(grammar::Grammars);

impl Grammars {
    #[allow(clippy::unused_async, reason = "elsewhere it waits for what has to be loaded")]
    pub(crate) async fn new(words: &Words, tokenizer: Arc<Tokenizer>) -> Result<Self, Error> {
        let spell = Box::new(move |bytes: &[u8]| spell(&tokenizer, bytes));
        grammar::Grammars::new(&words.bytes, &words.ends, spell).map(Self).map_err(|reason| Error::NoGrammars { reason })
    }

    pub(crate) fn matcher(&self, form: &Form) -> Result<Matcher, String> {
        match form {
            Form::Json(schema) => self.0.json(schema.clone()),
            Form::Lark(grammar) => self.0.lark(grammar.clone()),
        }
    }
}
