//! How a model is spoken to: Harmony, or the chat template that its file carries.

use gguf::Directory;
use text::chat::ChatRequest;
use text::harmony::{Conversation, Specials};
use text::template::Vocabulary;
use text::{Prompt, Template, Tokenizer};

use crate::Error;

/// A model's conversation format.
#[derive(Debug)]
pub enum Dialect {
    Harmony(Specials),
    Template(Box<Template>),
}

impl Dialect {
    /// Harmony where the vocabulary has its control tokens, else the file's own template.
    ///
    /// # Errors
    /// [`Error::NoDialect`] if there is neither, or a template that is not Jinja.
    pub fn new(directory: &Directory, tokenizer: &Tokenizer) -> Result<Self, Error> {
        if let Ok(specials) = Specials::find(|token| tokenizer.special(token)) {
            return Ok(Self::Harmony(specials));
        }
        let source = directory.metadata.str("tokenizer.chat_template")?.ok_or(Error::NoDialect)?;
        let text_of = |id: Option<u32>| {
            let bytes = id.and_then(|id| tokenizer.token_bytes(id)).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let types = directory.metadata.i32s("tokenizer.ggml.token_type")?.unwrap_or_default();
        let of_type = |wanted: i32| {
            let ids = types.iter().zip(0u32..).filter(move |(t, _)| **t == wanted).map(|(_, id)| id);
            ids.map(|id| text_of(Some(id))).filter(|text| !text.is_empty()).collect()
        };
        let vocabulary = Vocabulary {
            bos_token: text_of(tokenizer.bos()),
            eos_token: text_of(tokenizer.eos()),
            control: of_type(3),
            user_defined: of_type(4),
        };
        Ok(Self::Template(Box::new(Template::new(source, vocabulary)?)))
    }

    /// What the model is to continue.
    ///
    /// # Errors
    /// A request that the format cannot say.
    pub fn render(&self, request: &ChatRequest) -> Result<Prompt, Error> {
        let Some((said, _)) = request.begun()? else { return self.ask(request) };
        let mut prompt = self.ask(&said)?;
        self.opening(request)?.pieces().iter().for_each(|piece| prompt.push(piece.clone()));
        Ok(prompt)
    }

    /// The end of that, where the answer was begun already: what a reader has to know of it.
    ///
    /// # Errors
    /// As [`Dialect::render`].
    pub fn opening(&self, request: &ChatRequest) -> Result<Prompt, Error> {
        let Some((_, begun)) = request.begun()? else { return Ok(Prompt::new()) };
        Ok(match self {
            Self::Harmony(_) => Conversation::opening(&begun),
            Self::Template(_) => {
                let mut prompt = Prompt::new();
                prompt.text(begun.content);
                prompt
            }
        })
    }

    /// Up to where an answer begins.
    fn ask(&self, request: &ChatRequest) -> Result<Prompt, Error> {
        match self {
            Self::Harmony(_) => Ok(Conversation::try_from(request)?.render_for_completion()?),
            Self::Template(template) => Ok(template.render(request)?),
        }
    }

    /// Ids after which the model has nothing more to say.
    pub fn stops(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        match self {
            Self::Harmony(specials) => specials.stops().to_vec(),
            Self::Template(_) => [tokenizer.special_ids().eos, tokenizer.special_ids().eot].into_iter().flatten().collect(),
        }
    }
}
