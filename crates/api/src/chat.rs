//! A chat request answered.

use engine::{Cancel, Token, Voice};
use text::Tokenizer;
use text::constrained::Turn;

use crate::reader::Reader;
use crate::reply::{Choice, Chunk, ChunkChoice, Completion, Delta, FinishReason, Logprobs, LoneLogprob, Message, TokenLogprob};
use crate::request::{Request, entropy, now};
use crate::speak::{Answer, Part, Total};
use crate::waiting::Waiting;
use crate::{Error, Model};

impl<V: Voice> Model<V> {
    /// Answers `request`; `on_chunk` gets the answer as it comes, and the whole is returned.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after `cancel`; a request that the model's format or context cannot take; what
    /// the GPU reports.
    pub async fn chat(&mut self, request: &Request, cancel: &Cancel, on_chunk: &mut dyn FnMut(Chunk)) -> Result<Completion, Error> {
        let dialect = self.dialect.as_ref().ok_or(Error::NoDialect)?;
        let prompt = dialect.render(&request.chat)?.encode(&*self.tokenizer);
        let turn = self.forms.chat(request, dialect).await?;
        let blank = Chunk {
            id: format!("chatcmpl-{:x}{:08x}", now(), entropy()),
            object: "chat.completion.chunk",
            created: now(),
            model: self.name().to_owned(),
            choices: Vec::new(),
            usage: None,
            timings: None,
        };
        let mut choices = Vec::new();
        let mut total = Total::default();
        for index in 0..request.parameters.n() {
            let mut emit = |choice: ChunkChoice| on_chunk(Chunk { choices: vec![choice], ..blank.clone() });
            choices.push(self.answer(request, index, &prompt, turn.clone(), cancel, &mut total, &mut emit).await?);
        }
        let (usage, timings) = (total.usage(), total.timings());
        if request.parameters.stream_options.unwrap_or_default().include_usage == Some(true) {
            on_chunk(Chunk { usage: Some(usage), timings: Some(timings), ..blank.clone() });
        }
        let Chunk { id, created, model, .. } = blank;
        Ok(Completion { id, object: "chat.completion", created, model, choices, usage, timings })
    }

    /// Answer `index` of those that the request asks for.
    async fn answer(
        &mut self,
        request: &Request,
        index: u32,
        prompt: &[u32],
        turn: Option<Turn>,
        cancel: &Cancel,
        total: &mut Total,
        emit: &mut dyn FnMut(ChunkChoice),
    ) -> Result<Choice, Error> {
        let dialect = self.dialect.as_ref().ok_or(Error::NoDialect)?;
        let parameters = &request.parameters;
        let mut reader = Reader::new(dialect, Vec::new());
        // What was said before is not said again, and nothing in it stops what follows.
        for id in dialect.opening(&request.chat)?.encode(&*self.tokenizer) {
            reader.push(id, &self.tokenizer);
        }
        reader.stop_at(parameters.stops());
        let answer = Answer { parameters, index, prompt, stops: dialect.stops(&self.tokenizer), reader, turn };
        let mut message = Message { role: "assistant", ..Message::default() };
        let mut logprobs = parameters.wants_logprobs().then(Logprobs::default);
        let mut waiting = Waiting::default();
        let mut say = |delta: Delta, waiting: &mut Waiting<TokenLogprob>, finish_reason: Option<FinishReason>| {
            message.add(&delta);
            let of = delta.content.as_ref().map_or(Vec::new(), |text| waiting.say(text));
            if let Some(all) = &mut logprobs {
                all.content.extend_from_slice(&of);
            }
            let logprobs = (!of.is_empty()).then_some(Logprobs { content: of, refusal: None });
            emit(ChunkChoice { index, delta, logprobs, finish_reason });
        };
        // Nothing is said of a request that the engine refuses.
        let mut has_begun = false;
        let mut on_part = |Part { deltas, token, is_content, tokenizer }: Part<'_>| {
            if !std::mem::replace(&mut has_begun, true) {
                say(Delta { role: Some("assistant"), ..Delta::default() }, &mut waiting, None);
            }
            if let Some(token) = token.filter(|_| is_content && parameters.wants_logprobs()) {
                let token = token_logprob(token, tokenizer);
                waiting.push(token.token.bytes.len(), token);
            }
            deltas.into_iter().for_each(|delta| say(delta, &mut waiting, None));
        };
        let (finish_reason, _) = self.speak(answer, cancel, total, &mut on_part).await?;
        say(Delta::default(), &mut waiting, Some(finish_reason));
        if message.content.is_none() && message.tool_calls.is_empty() {
            message.content = Some(String::new());
        }
        Ok(Choice { index, message, logprobs, finish_reason })
    }
}

fn token_logprob(token: &Token, tokenizer: &Tokenizer) -> TokenLogprob {
    let lone = |id: u32, logprob: f32| {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default().to_vec();
        LoneLogprob { token: String::from_utf8_lossy(&bytes).into_owned(), logprob, bytes }
    };
    TokenLogprob { token: lone(token.id, token.logprob), top_logprobs: token.top.iter().map(|(id, logprob)| lone(*id, *logprob)).collect() }
}
