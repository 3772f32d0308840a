//! What chats and raw completions share: tokens as they come, read into deltas.

use std::ops::ControlFlow;

use engine::{Cancel, Constraint, Event, Finish, Generated, Token, Voice};
use text::Tokenizer;
use text::constrained::Turn;

use crate::constrained::Constrained;
use crate::reader::Reader;
use crate::reply::{CompletionDetails, Delta, FinishReason, PromptDetails, Timings, Usage};
use crate::request::Parameters;
use crate::{Error, Model};

/// One of the answers that a request asks for.
pub(crate) struct Answer<'a> {
    pub(crate) parameters: &'a Parameters,
    pub(crate) index: u32,
    pub(crate) prompt: &'a [u32],
    pub(crate) stops: Vec<u32>,
    pub(crate) reader: Reader,
    /// What it may say, if not everything.
    pub(crate) turn: Option<Turn>,
}

/// What a token makes known.
pub(crate) struct Part<'a> {
    pub(crate) deltas: Vec<Delta>,
    /// None of what was held back to the end.
    pub(crate) token: Option<&'a Token>,
    /// Whether the token is of the content.
    pub(crate) is_content: bool,
    pub(crate) tokenizer: &'a Tokenizer,
}

impl<V: Voice> Model<V> {
    /// Generates an answer; `on_part` gets what each token makes known, and then what was held back. Says why it ended, and whether
    /// that was at a stop string.
    pub(crate) async fn speak(
        &mut self,
        answer: Answer<'_>,
        cancel: &Cancel,
        total: &mut Total,
        on_part: &mut dyn FnMut(Part<'_>),
    ) -> Result<(FinishReason, bool), Error> {
        let Self { engine, tokenizer, fill, .. } = self;
        let Answer { parameters, index, prompt, stops, mut reader, turn } = answer;
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
                let is_content = reader.is_content(token.id, tokenizer);
                total.reasoning_tokens += usize::from(reader.is_reasoning(token.id, tokenizer));
                on_part(Part { deltas, token: Some(token), is_content, tokenizer });
            }
            if reader.stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let constraint = turn.map(|turn| Box::new(Constrained(turn)) as Box<dyn Constraint>);
        let generated = engine.say(&generate, constraint, cancel, &mut on_event).await;
        self.settle().await;
        let generated = generated?;
        if generated.finish == Finish::Cancelled {
            return Err(Error::Cancelled);
        }
        on_part(Part { deltas: reader.finish(), token: None, is_content: true, tokenizer: &self.tokenizer });
        total.add(&generated, prompt.len(), index == 0);
        let reason = match generated.finish {
            _ if reader.calls => FinishReason::ToolCalls,
            Finish::Length | Finish::Context => FinishReason::Length,
            Finish::Stop(_) | Finish::Break | Finish::Cancelled => FinishReason::Stop,
        };
        Ok((reason, reader.stopped))
    }
}

/// Of all answers to one request.
#[derive(Debug, Default)]
pub(crate) struct Total {
    prompt_tokens: usize,
    cached_tokens: usize,
    prefilled_tokens: usize,
    completion_tokens: usize,
    reasoning_tokens: usize,
    n_answers: usize,
    prefill_seconds: f64,
    decode_seconds: f64,
}

impl Total {
    /// `is_first` of its prompt's: the others find all of it kept.
    fn add(&mut self, generated: &Generated, n_prompt: usize, is_first: bool) {
        if is_first {
            self.prompt_tokens += n_prompt;
            self.cached_tokens += generated.n_reused;
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
            completion_tokens_details: CompletionDetails { reasoning_tokens: self.reasoning_tokens },
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
