//! One answer: prefill in chunks, then decode steps submitted ahead of their results.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernels::ops::{IN_PROMPT, Paging, Sampled};
use web_time::Instant;

use crate::constraint::{Bound, Constraint};
use crate::history::History;
use crate::resident::{Engine, StepKind, Tail};
use crate::{Error, SamplingOptions};

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
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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

/// Seconds of work that may lie before the GPU: more only delays a stop.
const AHEAD_SECONDS: f64 = 0.2;
pub(crate) const MOST_AHEAD: usize = 16;
/// Devices that one answer may wear out.
const MOST_LOSSES: usize = 4;
/// Seconds that a prefill chunk should take: drivers give up on longer ones.
const CHUNK_SECONDS: f64 = 0.4;

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
        let bound = Bound::new(constraint, self.model.config.n_vocab)?;
        self.answer(request, Some(bound), cancel, on_event).await
    }

    async fn answer(
        &mut self,
        request: &Request<'_>,
        mut bound: Option<Bound<'_>>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, Error> {
        self.bounds().check(request.prompt)?;
        if request.max_tokens == 0 {
            return Err(Error::Option { name: "max_tokens", expected: "1 or more", got: "0".into() });
        }
        let began = Instant::now();
        let mut first = None;
        let mut said = Vec::new();
        for _ in 0..MOST_LOSSES {
            // Said before: what is generated after it goes on from there, draws and penalties too.
            let before = said.clone();
            let mut keep = |event: Event<'_>| {
                if let Event::Token(token) = event {
                    first.get_or_insert_with(Instant::now);
                    said.push(token.id);
                }
                on_event(event)
            };
            let (finish, n_reused) = match self.go_on(request, &before, bound.as_mut(), cancel, &mut keep).await {
                Err(Error::DeviceLost { why }) => {
                    log::warn!("the GPU was lost after {} tokens of an answer: {why}", said.len());
                    if self.revive(cancel).await? {
                        continue;
                    }
                    (Finish::Cancelled, 0)
                }
                done => done?,
            };
            let first = first.unwrap_or_else(Instant::now);
            let (prefill_seconds, decode_seconds) = ((first - began).as_secs_f64(), first.elapsed().as_secs_f64());
            return Ok(Generated { ids: said, finish, n_reused, prefill_seconds, decode_seconds });
        }
        Err(Error::DeviceLost { why: format!("{MOST_LOSSES} times during one answer") })
    }

    /// Generates what is still to come after `request.prompt` and `said`. Why it ended, and the tokens kept from before.
    async fn go_on(
        &mut self,
        request: &Request<'_>,
        said: &[u32],
        bound: Option<&mut Bound<'_>>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(Finish, usize), Error> {
        self.gpu.check()?;
        let prompt = [request.prompt, said].concat();
        let max_tokens = request.max_tokens - said.len() as u32;
        let request = &Request { prompt: &prompt, max_tokens, sampling: request.sampling.clone(), stops: request.stops };
        let n_said = said.len() as u32;
        let halts = [request.stops, bound.as_ref().map_or(&[], |bound| bound.pauses())].concat();
        let sampling = request.sampling.layout(&halts, bound.is_some(), self.model.config.n_vocab)?;
        self.write(self.model.state.sampler.sampling, bytemuck::bytes_of(&sampling));
        self.write_logit_bias(&request.sampling.logit_bias);
        self.write_counts(request, said);
        if let Some(bound) = &bound {
            self.write_mask(bound);
        }

        // A pass that was broken off may have left what it missed.
        self.write(self.model.state.paging.first_miss(), bytemuck::bytes_of(&Paging::NO_MISS));

        // If anything fails from here on, the cache holds nothing that can be relied on.
        let history = std::mem::take(&mut self.history);
        let mut run = Run { history, n_said, ids: Vec::new(), n_submitted: 0 };
        let n_reused = self.prefill(request, cancel, on_event, &mut run).await?;
        let mut finish = Finish::Cancelled;
        if !cancel.is_cancelled() {
            finish = self.decode(request, bound, cancel, on_event, &mut run).await?;
            // The last token's keys may be missing, or those of a step that missed experts.
            let n_seen = request.prompt.len() + run.ids.len().saturating_sub(1);
            let kept = n_seen.min(run.history.written as usize);
            run.history.tokens = request.prompt.iter().chain(&run.ids).copied().take(kept).collect();
        }
        // What was computed past the end is dropped by position.
        loop {
            match self.ring.next(&self.gpu).await {
                Ok(Some(_)) => {}
                Ok(None) => break self.history = run.history,
                // The answer is whole; the next one begins on another device.
                Err(Error::DeviceLost { .. }) if finish != Finish::Cancelled => break,
                Err(error) => return Err(error),
            }
        }
        Ok((finish, n_reused))
    }

    /// Runs the prompt through the model; its last chunk also draws the first token. Returns how many tokens
    /// were kept from before.
    async fn prefill(
        &mut self,
        request: &Request<'_>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
        run: &mut Run,
    ) -> Result<usize, Error> {
        let prompt = request.prompt;
        let n_reused = run.history.reusable(prompt, &self.model.layers);
        if n_reused == 0 {
            run.history = History::default();
        }
        run.history.tokens.truncate(n_reused as usize);
        let mut done = n_reused as usize;
        while done < prompt.len() && !cancel.is_cancelled() {
            let mut chunk = (self.pace.chunk as usize).min(prompt.len() - done);
            // The pace must not decide who is alone: a token alone has kernels of its own, which round otherwise.
            if chunk > 2 && done + chunk + 1 == prompt.len() {
                chunk -= 1;
            }
            let last = done + chunk == prompt.len();
            let began = Instant::now();
            self.place(&prompt[done..done + chunk], done as u32, run.n_said, request.sampling.seed);
            run.history.written = run.history.written.max((done + chunk) as u32);
            // Layer by layer, each layer is a submission of its own.
            let by_layer = self.needs_routes();
            let n_submissions = if by_layer { self.experts.n_layers() } else { 1 };
            let tail = if last { Tail::Sample } else { Tail::Nothing };
            // Where nothing can be missed nobody stands in, and a chunk of one token is a decode step.
            let kind = StepKind { n_tokens: chunk as u32, tail, stand_ins: !by_layer };
            let Some(encoder) = self.encode(kind, (done + chunk) as u32, cancel).await? else { break };
            if last {
                self.submit_report(encoder, request);
                run.n_submitted = 1;
            } else {
                self.gpu.queue.submit([encoder.finish()]);
                self.gpu.idle().await?;
                let seconds = began.elapsed().as_secs_f64() / n_submissions as f64;
                self.pace.learn_chunk(chunk as u32, seconds, self.model.options.chunk);
            }
            run.history.tokens.extend(&prompt[done..done + chunk]);
            done += chunk;
            if on_event(Event::Prefill { done, total: prompt.len() }).is_break() {
                cancel.cancel();
            }
        }
        Ok(n_reused as usize)
    }

    /// Takes sampled tokens as they come and keeps steps ahead of them.
    async fn decode(
        &mut self,
        request: &Request<'_>,
        mut bound: Option<&mut Bound<'_>>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
        run: &mut Run,
    ) -> Result<Finish, Error> {
        // A token is drawn at every position from the prompt's end to the context's.
        let room = self.model.options.context - request.prompt.len() as u32 + 1;
        let most = request.max_tokens.min(room);
        let step = self.step(StepKind { n_tokens: 1, tail: Tail::Sample, stand_ins: true })?;
        let mut last = Instant::now();
        let finish = loop {
            let runs_ahead = bound.as_ref().is_none_or(|bound| bound.is_lasting());
            let ahead = if runs_ahead { self.pace.ahead() } else { 1 };
            while run.n_submitted < most && self.ring.len() < ahead {
                let mut encoder = self.gpu.encoder();
                let n_positions = request.prompt.len() as u32 + run.n_submitted;
                step.prepared.encode_range(&mut encoder, &self.gpu, 0..step.end, n_positions);
                self.submit_report(encoder, request);
                run.n_submitted += 1;
                run.history.written = run.history.written.max(n_positions);
            }
            let Some(mut report) = self.next_report(request).await? else { break Finish::Length };
            if report.is_miss() {
                // What was submitted behind it is the same step again, as it advances only when it is whole.
                while self.next_report(request).await?.is_some() {}
                run.n_submitted = run.ids.len() as u32 + 1;
                let n_positions = request.prompt.len() as u32 + run.ids.len() as u32;
                report = match self.replay(&step, report, n_positions, request, cancel).await? {
                    Some(report) => report,
                    None => break Finish::Cancelled,
                };
                self.pace.miss();
            } else {
                // The first is the prefill's, which counted for itself.
                if !run.ids.is_empty() {
                    self.note(&report, &HashSet::new());
                }
                self.pace.hit();
            }
            let now = Instant::now();
            if !run.ids.is_empty() {
                self.pace.learn_step((now - last).as_secs_f64());
            }
            last = now;
            let token = read_token(&report.sampled, request.sampling.n_logprobs);
            run.ids.push(token.id);
            self.experts.count(|p| p.tokens += 1);
            let broke = on_event(Event::Token(&token)).is_break();
            if request.stops.contains(&token.id) {
                break Finish::Stop(token.id);
            }
            if broke {
                break Finish::Break;
            }
            if cancel.is_cancelled() {
                break Finish::Cancelled;
            }
            if run.ids.len() as u32 == most {
                break if most < request.max_tokens { Finish::Context } else { Finish::Length };
            }
            if let Some(bound) = bound.as_mut().filter(|bound| bound.ends_at(token.id)) {
                // Before anything can fail: what was said is known to the constraint, too.
                let asked = bound.ask(Some(token.id));
                // A pause halted what was submitted behind it.
                while self.next_report(request).await?.is_some() {}
                asked?;
                self.write_mask(bound);
                run.n_submitted = run.ids.len() as u32;
                if report.sampled.halt == 1 {
                    let position = request.prompt.len() as u32 + run.n_submitted - 1;
                    self.write_step(position, run.n_said + run.n_submitted, request.sampling.seed);
                }
            }
        };
        Ok(finish)
    }

    fn write_mask(&self, bound: &Bound<'_>) {
        self.write(self.model.state.sampler.mask, bytemuck::cast_slice(bound.ids()));
    }

    /// `said`: the end of the prompt that was sampled for this answer.
    fn write_counts(&self, request: &Request<'_>, said: &[u32]) {
        let mut counts = vec![0u32; self.model.config.n_vocab as usize];
        if request.sampling.looks_at_prompt() {
            for id in request.prompt {
                counts[*id as usize] = IN_PROMPT;
            }
        }
        for id in said {
            counts[*id as usize] += 1;
        }
        self.write(self.model.state.sampler.counts, bytemuck::cast_slice(&counts));
    }
}

/// An answer under way.
struct Run {
    history: History,
    /// Tokens of this answer that the prompt ends with.
    n_said: u32,
    /// Tokens accepted so far.
    ids: Vec<u32>,
    /// Steps submitted that draw a token.
    n_submitted: u32,
}

impl crate::resident::Pace {
    /// Results to have under way.
    fn ahead(&self) -> usize {
        let fits = ((AHEAD_SECONDS / self.step.max(1e-4)) as usize).clamp(2, MOST_AHEAD);
        fits.min(self.since_miss + 1)
    }

    /// A step that missed made all behind it void: the next ones wait for each other.
    fn miss(&mut self) {
        self.since_miss = 0;
    }

    fn hit(&mut self) {
        self.since_miss = (self.since_miss + 1).min(MOST_AHEAD);
    }

    fn learn_step(&mut self, seconds: f64) {
        self.step = self.step * 0.8 + seconds * 0.2;
    }

    /// A power of two, so that its recording is kept.
    fn learn_chunk(&mut self, tokens: u32, seconds: f64, most: u32) {
        let wanted = f64::from(tokens) * CHUNK_SECONDS / seconds.max(1e-4);
        let limit = (self.chunk * 4).min(most.next_power_of_two() / if most.is_power_of_two() { 1 } else { 2 });
        self.chunk = (1u32 << wanted.max(1.0).log2() as u32).clamp(8.min(limit), limit);
    }
}

fn read_token(sampled: &Sampled, n_logprobs: u32) -> Token {
    let top = sampled.ids.into_iter().zip(sampled.logprobs).take(n_logprobs as usize).collect();
    Token { id: sampled.token, logprob: sampled.logprob, top }
}
