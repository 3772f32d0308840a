//! A raw completion: the model goes on with a text, no chat format around it. The shape is OpenAI's `/v1/completions`.

use engine::{Cancel, Token, Voice};
use serde::{Deserialize, Serialize};
use text::chat::ResponseFormat;
use text::constrained::Turn;
use text::harmony::Specials;
use text::{Detokenizer, Tokenizer};

use crate::constrained::form;
use crate::reader::Reader;
use crate::reply::{FinishReason, Timings, Usage};
use crate::request::{Parameters, entropy, now};
use crate::speak::{Answer, Part, Total};
use crate::waiting::Waiting;
use crate::{Error, Model};

/// A request, read and checked.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// Each is continued by itself.
    pub prompts: Vec<CompletionPrompt>,
    /// What the text must look like, as in a chat.
    pub response_format: Option<ResponseFormat>,
    pub parameters: Parameters,
}

/// What is to be continued.
#[derive(Clone, Debug)]
pub enum CompletionPrompt {
    /// Not trusted: control tokens spelled in it stay text. A model that wants its texts to begin with a token gets that.
    Text(String),
    /// Fed as they are.
    Ids(Vec<u32>),
}

/// One prompt or several, as OpenAI has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "prompt must be a string, an array of token ids, or an array of either")]
enum Prompts {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    ManyIds(Vec<Vec<u32>>),
}

/// A whole completion, or a part of one as it streams.
#[derive(Clone, Debug, Serialize)]
pub struct TextCompletion {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    pub choices: Vec<TextChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct TextChoice {
    pub index: u32,
    pub text: String,
    /// Of the tokens of `text`; ids are an addition to OpenAI's fields.
    pub logprobs: Option<TextLogprobs>,
    pub finish_reason: Option<FinishReason>,
}

/// `[n_tokens]` each.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TextLogprobs {
    pub ids: Vec<u32>,
    pub tokens: Vec<String>,
    pub token_logprobs: Vec<f32>,
    pub top_logprobs: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Where each begins, in characters from the prompt's start, as OpenAI counts them. Control tokens have none.
    pub text_offset: Vec<usize>,
}

/// What OpenAI generates where `max_tokens` is absent.
const MAX_TOKENS: u32 = 16;
/// Texts that one request may ask for, those of all its prompts together.
const MOST_TEXTS: usize = 128;
/// Alternatives a token may have.
const MOST_LOGPROBS: u32 = 20;

impl CompletionRequest {
    /// Reads an OpenAI completion request. `logprobs` is a count here. Fields of other concerns are passed over.
    ///
    /// # Errors
    /// Not JSON, not of this shape, or a number out of range, by name.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Own {
            prompt: Prompts,
            response_format: Option<ResponseFormat>,
            logprobs: Option<u32>,
            echo: Option<bool>,
            suffix: Option<String>,
            best_of: Option<u32>,
        }
        let invalid = |error: serde_json::Error| Error::Request { why: error.to_string() };
        let mut fields: serde_json::Value = serde_json::from_str(json).map_err(invalid)?;
        let own: Own = serde_json::from_value(fields.clone()).map_err(invalid)?;
        let Own { prompt, response_format, logprobs, echo, suffix, best_of } = own;
        let unheard = [("echo", echo == Some(true)), ("suffix", suffix.is_some()), ("best_of", best_of.is_some_and(|n| n > 1))];
        if let Some((name, _)) = unheard.iter().find(|(_, is_asked)| *is_asked) {
            return Err(Error::Request { why: format!("{name} is not supported") });
        }
        if let Some(count) = logprobs.filter(|count| *count > MOST_LOGPROBS) {
            return Err(Error::Request { why: format!("logprobs is {count}, must be 0 to {MOST_LOGPROBS}") });
        }
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("logprobs".into(), logprobs.is_some().into());
            fields.insert("top_logprobs".into(), logprobs.into());
        }
        let mut parameters: Parameters = serde_json::from_value(fields).map_err(invalid)?;
        parameters.max_tokens = Some(parameters.max_completion_tokens.or(parameters.max_tokens).unwrap_or(MAX_TOKENS));
        parameters.check()?;
        let prompts = prompt.all();
        match prompts.len() * parameters.n() as usize {
            0 => Err(Error::Request { why: "prompt is an empty array".into() }),
            n if n > MOST_TEXTS => {
                Err(Error::Request { why: format!("n of each prompt are {n} texts, at most {MOST_TEXTS} may be asked for") })
            }
            _ => Ok(Self { prompts, response_format, parameters }),
        }
    }
}

impl<V: Voice> Model<V> {
    /// Goes on with `request`'s prompts; `on_part` gets the text as it comes, and the whole is returned.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after `cancel`; a prompt that the context cannot take; what the GPU reports.
    pub async fn complete(
        &mut self,
        request: &CompletionRequest,
        cancel: &Cancel,
        on_part: &mut dyn FnMut(TextCompletion),
    ) -> Result<TextCompletion, Error> {
        let prompts: Vec<Vec<u32>> = request.prompts.iter().map(|prompt| prompt.ids(&self.tokenizer)).collect();
        // None is continued if another one cannot be.
        let bounds = self.bounds;
        prompts.iter().try_for_each(|prompt| bounds.check(prompt))?;
        let form = form(request.response_format.as_ref(), &request.parameters)?;
        let turn = self.forms.text(form.as_ref(), ends(&self.tokenizer)).await?;
        let blank = TextCompletion {
            id: format!("cmpl-{:x}{:08x}", now(), entropy()),
            object: "text_completion",
            created: now(),
            model: self.name().to_owned(),
            choices: Vec::new(),
            usage: None,
            timings: None,
        };
        let mut choices = Vec::new();
        let mut total = Total::default();
        for prompt in &prompts {
            let before = choices.len() as u32;
            for index in 0..request.parameters.n() {
                let mut emit = |choice: TextChoice| {
                    let choice = TextChoice { index: before + index, ..choice };
                    on_part(TextCompletion { choices: vec![choice], ..blank.clone() });
                };
                let whole = self.continuation(request, index, prompt, turn.clone(), cancel, &mut total, &mut emit).await?;
                choices.push(TextChoice { index: before + index, ..whole });
            }
        }
        let (usage, timings) = (Some(total.usage()), Some(total.timings()));
        if request.parameters.stream_options.unwrap_or_default().include_usage == Some(true) {
            on_part(TextCompletion { usage, timings, ..blank.clone() });
        }
        Ok(TextCompletion { choices, usage, timings, ..blank })
    }

    /// Text `index` of those that the request asks for of `prompt`.
    async fn continuation(
        &mut self,
        request: &CompletionRequest,
        index: u32,
        prompt: &[u32],
        turn: Option<Turn>,
        cancel: &Cancel,
        total: &mut Total,
        emit: &mut dyn FnMut(TextChoice),
    ) -> Result<TextChoice, Error> {
        let parameters = &request.parameters;
        let ends = ends(&self.tokenizer);
        let answer = Answer { parameters, index, prompt, stops: ends.clone(), reader: Reader::plain(parameters.stops()), turn };
        let mut whole = TextChoice { index, logprobs: parameters.wants_logprobs().then(TextLogprobs::default), ..TextChoice::default() };
        let tokenizer = self.tokenizer.clone();
        let mut waiting = Waiting::default();
        let mut offset = Offset::default();
        if parameters.wants_logprobs() {
            prompt.iter().for_each(|id| _ = offset.pass(tokenizer.text_bytes(*id).unwrap_or_default()));
        }
        let mut say = |text: String, tokens: Vec<(Token, usize)>, finish_reason: Option<FinishReason>| {
            let logprobs = parameters.wants_logprobs().then(|| TextLogprobs::new(&tokens, &tokenizer));
            whole.add(&text, logprobs.as_ref(), finish_reason);
            emit(TextChoice { index, text, logprobs, finish_reason });
        };
        let mut on_part = |Part { deltas, token, tokenizer, .. }: Part<'_>| {
            if let Some(token) = token.filter(|token| parameters.wants_logprobs() && !ends.contains(&token.id)) {
                let bytes = tokenizer.text_bytes(token.id).unwrap_or_default();
                waiting.push(bytes.len(), (token.clone(), offset.pass(bytes)));
            }
            let text: String = deltas.into_iter().filter_map(|delta| delta.content).collect();
            if !text.is_empty() {
                let tokens = waiting.say(&text);
                say(text, tokens, None);
            }
        };
        let (finish_reason, stopped) = self.speak(answer, cancel, total, &mut on_part).await?;
        // What is left of a stop string is not of the text.
        let rest = if stopped { Vec::new() } else { waiting.rest() };
        say(String::new(), rest, Some(finish_reason));
        Ok(whole)
    }
}

impl Prompts {
    fn all(self) -> Vec<CompletionPrompt> {
        match self {
            Self::Text(text) => vec![CompletionPrompt::Text(text)],
            Self::Texts(texts) => texts.into_iter().map(CompletionPrompt::Text).collect(),
            Self::Ids(ids) => vec![CompletionPrompt::Ids(ids)],
            Self::ManyIds(many) => many.into_iter().map(CompletionPrompt::Ids).collect(),
        }
    }
}

impl CompletionPrompt {
    pub(crate) fn ids(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        match self {
            Self::Text(text) => tokenizer.bos_to_add().into_iter().chain(tokenizer.encode(text)).collect(),
            Self::Ids(ids) => ids.clone(),
        }
    }
}

impl TextChoice {
    fn add(&mut self, text: &str, logprobs: Option<&TextLogprobs>, finish_reason: Option<FinishReason>) {
        self.text.push_str(text);
        self.finish_reason = finish_reason;
        if let (Some(all), Some(more)) = (&mut self.logprobs, logprobs) {
            all.ids.extend(&more.ids);
            all.tokens.extend_from_slice(&more.tokens);
            all.token_logprobs.extend(&more.token_logprobs);
            all.top_logprobs.extend_from_slice(&more.top_logprobs);
            all.text_offset.extend(&more.text_offset);
        }
    }
}

/// How far a text has come.
#[derive(Default)]
struct Offset {
    characters: usize,
    detokenizer: Detokenizer,
}

impl Offset {
    /// Where a token of these bytes begins.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        // Of a character that another token has begun it is a part, unless that was broken off.
        let begins = bytes.first().is_some_and(|byte| byte & 0xC0 != 0x80);
        let at = self.characters + usize::from(begins && self.detokenizer.is_pending());
        self.characters += self.detokenizer.push(bytes).chars().count();
        at
    }
}

impl TextLogprobs {
    /// Of tokens and where they begin.
    fn new(tokens: &[(Token, usize)], tokenizer: &Tokenizer) -> Self {
        let text = |id: u32| String::from_utf8_lossy(tokenizer.token_bytes(id).unwrap_or_default()).into_owned();
        let top = |token: &Token| token.top.iter().map(|(id, logprob)| (text(*id), (*logprob).into())).collect();
        Self {
            ids: tokens.iter().map(|(token, _)| token.id).collect(),
            tokens: tokens.iter().map(|(token, _)| text(token.id)).collect(),
            token_logprobs: tokens.iter().map(|(token, _)| token.logprob).collect(),
            top_logprobs: tokens.iter().map(|(token, _)| top(token)).collect(),
            text_offset: tokens.iter().map(|(_, offset)| *offset).collect(),
        }
    }
}

/// The tokens that end a text, whatever the chat format.
pub fn ends(tokenizer: &Tokenizer) -> Vec<u32> {
    let harmony = Specials::find(|token| tokenizer.special(token)).map(|specials| specials.stops().to_vec());
    let own = [tokenizer.special_ids().eos, tokenizer.special_ids().eot];
    let mut ends: Vec<u32> = own.into_iter().flatten().chain(harmony.unwrap_or_default()).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}
