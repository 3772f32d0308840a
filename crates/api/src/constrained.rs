//! Answers that must be of a form: which tokens a request lets the engine draw.

use std::sync::{Arc, OnceLock};

use engine::{Allowed, Constraint};
use text::chat::{ResponseFormat, ToolChoice};
use text::constrained::{Content, Form, Grammars, Opening, Turn};
use text::{Tokenizer, harmony};

use crate::request::{Parameters, Request};
use crate::{Dialect, Error, Model};

/// A turn as the engine asks for it.
pub(crate) struct Constrained(pub(crate) Turn);

impl Constraint for Constrained {
    fn next(&mut self, token: Option<u32>) -> Result<Allowed<'_>, String> {
        self.0.next(token).map_err(|error| error.to_string())?;
        Ok(Allowed { ids: self.0.mask().words(), lasting: self.0.is_free() })
    }

    fn pauses(&self) -> &[u32] {
        self.0.pauses()
    }
}

impl Model {
    /// Binds a text to `form`; where it may end one of `ends` may be drawn, which are to be the stops of the engine's request.
    ///
    /// # Errors
    /// A form that cannot be read or met.
    pub async fn constraint(&self, form: Option<&Form>, ends: Vec<u32>) -> Result<Option<impl Constraint + use<>>, Error> {
        Ok(self.forms.text(form, ends).await?.map(Constrained))
    }
}

/// The forms that a model's answers can be bound to.
#[derive(Debug)]
pub(crate) struct Forms {
    tokenizer: Arc<Tokenizer>,
    /// Made when the first answer needs them.
    grammars: OnceLock<Grammars>,
}

impl Forms {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, grammars: OnceLock::new() }
    }

    /// What a chat may say; `None` if it may say anything.
    ///
    /// # Errors
    /// A form that cannot be read or met, or a call that this model's format does not have.
    pub(crate) async fn chat(&self, request: &Request, dialect: &Dialect) -> Result<Option<Turn>, Error> {
        let form = form(request.chat.response_format.as_ref(), &request.parameters)?;
        let choice = request.chat.tool_choice()?;
        if request.chat.continue_final_message && (form.is_some() || choice != ToolChoice::Auto) {
            let why = "an answer that was begun is gone on with freely: no response_format, grammar or tool_choice";
            return Err(Error::Request { why: why.into() });
        }
        match dialect {
            Dialect::Harmony(specials) => {
                let functions: Vec<_> = request.chat.functions().collect::<Result<_, _>>()?;
                let says_which = choice != ToolChoice::Auto || functions.iter().any(|function| function.is_strict());
                let is_free = form.is_none() && (functions.is_empty() || !says_which);
                if request.chat.continue_final_message || is_free {
                    return Ok(None);
                }
                let grammars = self.grammars().await?;
                Ok(Some(harmony::turn(&request.chat, form.as_ref(), specials, &self.tokenizer, grammars)?))
            }
            Dialect::Template(_) if choice.must_call() => {
                Err(Error::Request { why: "tool_choice asks for a call, but this model's format has none; only Harmony does".into() })
            }
            Dialect::Template(_) => self.text(form.as_ref(), dialect.stops(&self.tokenizer)).await,
        }
    }

    /// What a text may say that ends with one of `ends`; `None` if it may say anything.
    ///
    /// # Errors
    /// A form that cannot be read or met.
    pub(crate) async fn text(&self, form: Option<&Form>, ends: Vec<u32>) -> Result<Option<Turn>, Error> {
        let Some(form) = form else { return Ok(None) };
        if ends.is_empty() {
            return Err(Error::Request { why: "an answer of a form needs a token that ends it, and this model has none".into() });
        }
        let grammars = self.grammars().await?;
        let content = Content::Bound { matcher: grammars.matcher(form)?, ends };
        let whole = Opening { header: Vec::new(), content };
        Ok(Some(Turn::new(vec![whole], Vec::new(), Vec::new(), grammars.text().clone())))
    }

    async fn grammars(&self) -> Result<&Grammars, Error> {
        if let Some(grammars) = self.grammars.get() {
            return Ok(grammars);
        }
        let grammars = Grammars::new(self.tokenizer.clone()).await?;
        Ok(self.grammars.get_or_init(|| grammars))
    }
}

/// What an answer must look like: of its `response_format`, or of a `grammar`.
pub(crate) fn form(format: Option<&ResponseFormat>, parameters: &Parameters) -> Result<Option<Form>, Error> {
    let format = format.map(ResponseFormat::form).transpose()?.flatten();
    match (format, &parameters.grammar) {
        (Some(_), Some(_)) => Err(Error::Request { why: "response_format and grammar exclude each other".into() }),
        (format, None) => Ok(format),
        (None, Some(grammar)) => Ok(Some(Form::Lark(grammar.clone()))),
    }
}
