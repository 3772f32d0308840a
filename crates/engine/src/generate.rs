//! One answer, by a batch of its own.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Batch, Constraint, Engine, Error, Said, SamplingOptions};

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub prompt: &'a [u32],
    pub max_tokens: u32,
    pub sampling: SamplingOptions,
    /// Token ids that end the answer; at most 16.
    pub stops: &'a [u32],
}

/// Asks an answer under way to end. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Cancel(Vec<Arc<AtomicBool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self(vec![Arc::default()])
    }
}

impl Cancel {
    /// Asks all of these, and has asked once each of them is asked.
    pub(crate) fn all<'a>(of: impl Iterator<Item = &'a Self>) -> Self {
        Self(of.flat_map(|cancel| cancel.0.iter().cloned()).collect())
    }

    pub fn cancel(&self) {
        self.0.iter().for_each(|asked| asked.store(true, Ordering::Relaxed));
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.iter().all(|asked| asked.load(Ordering::Relaxed))
    }
}

/// What happens while an answer is made.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// So many of the prompt's tokens are done.
    Prefill {
        done: usize,
        total: usize,
    },
    Token(&'a Token),
}

/// One sampled token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub id: u32,
    /// Of the model's own distribution, natural logarithm.
    pub logprob: f32,
    /// The most likely tokens and their logprobs, as many as were asked for.
    pub top: Vec<(u32, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// At this stop token, which is the last of `ids`.
    Stop(u32),
    /// At `max_tokens`.
    Length,
    /// No position is left in the context.
    Context,
    /// The caller had enough.
    Break,
    Cancelled,
}

/// What was generated.
#[derive(Clone, Debug)]
pub struct Generated {
    pub ids: Vec<u32>,
    pub finish: Finish,
    /// Of the prompt, kept from the sequence before.
    pub n_reused: usize,
    /// Until the first token.
    pub prefill_seconds: f64,
    /// From the first token to the last.
    pub decode_seconds: f64,
}

impl Engine {
    /// Generates after `request.prompt`, keeping what the KV cache already holds of it. If the device is lost on the
    /// way, the answer goes on on another one.
    ///
    /// # Errors
    /// A prompt that does not fit, options out of range, or what the GPU reports.
    pub async fn generate(
        &mut self,
        request: &Request<'_>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, Error> {
        self.answer(request, None, cancel, on_event).await
    }

    /// The same where `constraint` says which tokens may be drawn. It is asked once for each token, also if the device is lost
    /// or experts are missing on the way.
    ///
    /// # Errors
    /// As [`Engine::generate`], and [`Error::Constraint`].
    pub async fn generate_within(
        &mut self,
        request: &Request<'_>,
        constraint: &mut dyn Constraint,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, Error> {
        self.answer(request, Some(Box::new(constraint)), cancel, on_event).await
    }

    pub(crate) async fn answer<'a>(
        &'a mut self,
        request: &Request<'_>,
        constraint: Option<Box<dyn Constraint + 'a>>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, Error> {
        let mut batch = Batch::new(self);
        let id = batch.join(request, constraint, cancel)?;
        loop {
            for (_, said) in batch.step().await? {
                match said {
                    Said::Prefill { done, total } if on_event(Event::Prefill { done, total }).is_break() => cancel.cancel(),
                    Said::Token(token) if on_event(Event::Token(&token)).is_break() => batch.leave(id),
                    Said::Prefill { .. } | Said::Token(_) => {}
                    Said::Failed(error) => return Err(error),
                    Said::Done(generated) => {
                        batch.end().await?;
                        return Ok(generated);
                    }
                }
            }
        }
    }
}
