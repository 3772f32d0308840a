//! A chat request answered.

use std::ops::ControlFlow;

use engine::{Cancel, Event, Finish, Generated, Token};

use crate::reader::Reader;
use crate::reply::{
    Choice, Chunk, ChunkChoice, Completion, Delta, FinishReason, Logprobs, LoneLogprob, Message, PromptDetails, Timings, TokenLogprob,
    Usage,
};
use crate::request::{Request, entropy, now};
use crate::{Error, Model};

impl Model {
    /// Answers `request`; `on_chunk` gets the answer as it comes, and the whole is returned.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after `cancel`; a request that the model's format or context cannot take; what
    /// the GPU reports.
    pub async fn chat(&mut self, request: &Request, cancel: &Cancel, on_chunk: &mut dyn FnMut(Chunk)) -> Result<Completion, Error> {
        let prompt = self.dialect.as_ref().ok_or(Error::NoDialect)?.render(&request.chat)?.encode(&self.tokenizer);
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
        let mut total = Total::new(prompt.len());
        for index in 0..request.parameters.n() {
            let mut emit = |choice: ChunkChoice| on_chunk(Chunk { choices: vec![choice], ..blank.clone() });
            choices.push(self.answer(request, index, &prompt, cancel, &mut total, &mut emit).await?);
        }
        let (usage, timings) = (total.usage(), total.timings());
        if request.parameters.stream_options.unwrap_or_default().include_usage {
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
        cancel: &Cancel,
        total: &mut Total,
        emit: &mut dyn FnMut(ChunkChoice),
    ) -> Result<Choice, Error> {
        let Self { engine, tokenizer, dialect, fill, .. } = self;
        let dialect = dialect.as_ref().ok_or(Error::NoDialect)?;
        let parameters = &request.parameters;
        let stops = dialect.stops(tokenizer);
        let mut reader = Reader::new(dialect, parameters.stops());
        let mut message = Message { role: "assistant", ..Message::default() };
        let mut logprobs = parameters.wants_logprobs().then(Logprobs::default);
        // Those of tokens whose text is held back wait for it.
        let mut waiting: Vec<TokenLogprob> = Vec::new();
        let mut say = |delta: Delta, waiting: &mut Vec<TokenLogprob>, finish_reason: Option<FinishReason>| {
            message.add(&delta);
            let of = if delta.content.is_some() { std::mem::take(waiting) } else { Vec::new() };
            if let Some(all) = &mut logprobs {
                all.content.extend_from_slice(&of);
            }
            emit(ChunkChoice { index, delta, logprobs: (!of.is_empty()).then_some(Logprobs { content: of }), finish_reason });
        };
        say(Delta { role: Some("assistant"), ..Delta::default() }, &mut waiting, None);

        let sampling = parameters.sampling(index)?;
        let generate = engine::Request { prompt, max_tokens: parameters.max_tokens(), sampling, stops: &stops };
        let mut is_first = true;
        let mut on_event = |event: Event<'_>| {
            if let Event::Token(token) = event {
                if std::mem::take(&mut is_first) {
                    // It may fetch from now on.
                    fill.wake();
                }
                let deltas = reader.push(token.id, tokenizer);
                if parameters.wants_logprobs() && reader.is_content(token.id, tokenizer) {
                    waiting.push(token_logprob(token, tokenizer));
                }
                for delta in deltas {
                    say(delta, &mut waiting, None);
                }
                if reader.stopped {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        let generated = engine.generate(&generate, cancel, &mut on_event).await?;
        self.settle().await;
        if generated.finish == Finish::Cancelled {
            return Err(Error::Cancelled);
        }
        for delta in reader.finish() {
            say(delta, &mut waiting, None);
        }
        let finish_reason = match generated.finish {
            _ if reader.calls => FinishReason::ToolCalls,
            Finish::Length | Finish::Context => FinishReason::Length,
            Finish::Stop(_) | Finish::Break | Finish::Cancelled => FinishReason::Stop,
        };
        say(Delta::default(), &mut waiting, Some(finish_reason));
        total.add(&generated, prompt.len());
        if message.content.is_none() && message.tool_calls.is_empty() {
            message.content = Some(String::new());
        }
        Ok(Choice { index, message, logprobs, finish_reason })
    }
}

fn token_logprob(token: &Token, tokenizer: &text::Tokenizer) -> TokenLogprob {
    let lone = |id: u32, logprob: f32| {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default().to_vec();
        LoneLogprob { token: String::from_utf8_lossy(&bytes).into_owned(), logprob, bytes }
    };
    TokenLogprob { token: lone(token.id, token.logprob), top_logprobs: token.top.iter().map(|(id, logprob)| lone(*id, *logprob)).collect() }
}

/// Of all answers to one request.
#[derive(Debug, Default)]
pub(crate) struct Total {
    prompt_tokens: usize,
    cached_tokens: usize,
    prefilled_tokens: usize,
    completion_tokens: usize,
    n_answers: usize,
    prefill_seconds: f64,
    decode_seconds: f64,
}

impl Total {
    pub(crate) fn new(prompt_tokens: usize) -> Self {
        Self { prompt_tokens, ..Self::default() }
    }

    pub(crate) fn add(&mut self, generated: &Generated, n_prompt: usize) {
        if self.n_answers == 0 {
            self.cached_tokens = generated.n_reused;
        }
        self.n_answers += 1;
        self.prefilled_tokens += n_prompt - generated.n_reused;
        self.completion_tokens += generated.ids.len();
        self.prefill_seconds += generated.prefill_seconds;
        self.decode_seconds += generated.decode_seconds;
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            total_tokens: self.prompt_tokens + self.completion_tokens,
            prompt_tokens_details: PromptDetails { cached_tokens: self.cached_tokens },
        }
    }

    pub(crate) fn timings(&self) -> Timings {
        let rate = |n: usize, seconds: f64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        Timings {
            prefill_seconds: self.prefill_seconds,
            prefill_tps: rate(self.prefilled_tokens, self.prefill_seconds),
            decode_tps: rate(self.completion_tokens.saturating_sub(self.n_answers), self.decode_seconds),
        }
    }
}
