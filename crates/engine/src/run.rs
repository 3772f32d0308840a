//! One sequence of a batch, from the prompt to why it ended.

use std::collections::VecDeque;

use kernels::ops::{MAX_DRAFTS, Sampling, Step};
use web_time::Instant;

use crate::constraint::Bound;
use crate::drafts::look_up;
use crate::history::History;
use crate::{Cancel, Finish, Generated, Request, Said, SamplingOptions, SequenceId, Token};

/// An answer under way.
pub(crate) struct Run<'a> {
    pub(crate) id: SequenceId,
    /// Which of the KV cache's sequences it is.
    pub(crate) sequence: u32,
    /// The prompt, and what was said so far.
    tokens: Vec<u32>,
    n_prompt: usize,
    /// Of `tokens`, how many are fed before the next one is drawn: the prompt, and what was said before a device was lost.
    n_fed: usize,
    max_tokens: u32,
    /// Positions that a sequence can have.
    context: u32,
    pub(crate) sampling: SamplingOptions,
    /// The same for the GPU.
    pub(crate) layout: Sampling,
    stops: Vec<u32>,
    pub(crate) bound: Option<Bound<'a>>,
    pub(crate) cancel: Cancel,
    /// What the cache has of it; if anything fails, nothing that can be relied on.
    pub(crate) history: History,
    /// Whether the GPU knows how it samples.
    pub(crate) has_begun: bool,
    /// Of what is fed, how much is in the cache.
    pub(crate) done: usize,
    pub(crate) n_reused: usize,
    /// What a step with drafts drew at once and nobody was told yet, each with whether it halted the sequence.
    pub(crate) drawn: VecDeque<(Token, bool)>,
    /// Steps under way that may draw a token of it.
    pub(crate) n_ahead: usize,
    /// The latest token is not followed up yet; whether it halted the sequence.
    pub(crate) latest: Option<bool>,
    /// It is to end, whatever else there is.
    pub(crate) ending: Option<Finish>,
    /// Devices that it has worn out.
    pub(crate) n_losses: usize,
    began: Instant,
    first: Option<Instant>,
}

impl<'a> Run<'a> {
    #[allow(clippy::too_many_arguments, reason = "what it is made of")]
    pub(crate) fn new(
        id: SequenceId,
        sequence: u32,
        request: &Request<'_>,
        context: u32,
        layout: Sampling,
        bound: Option<Bound<'a>>,
        cancel: &Cancel,
        history: History,
    ) -> Self {
        Self {
            id,
            sequence,
            tokens: request.prompt.to_vec(),
            n_prompt: request.prompt.len(),
            n_fed: request.prompt.len(),
            max_tokens: request.max_tokens,
            context,
            sampling: request.sampling.clone(),
            layout,
            stops: request.stops.to_vec(),
            bound,
            cancel: cancel.clone(),
            history,
            has_begun: false,
            done: 0,
            n_reused: 0,
            drawn: VecDeque::new(),
            n_ahead: 0,
            latest: None,
            ending: None,
            n_losses: 0,
            began: Instant::now(),
            first: None,
        }
    }

    /// Begins anew after what was said, on a device that has nothing of it.
    pub(crate) fn restart(&mut self) {
        self.n_fed = self.tokens.len();
        self.history = History::default();
        (self.has_begun, self.done, self.n_ahead) = (false, 0, 0);
        self.n_losses += 1;
    }

    /// What is fed before the next token is drawn.
    pub(crate) fn fed(&self) -> &[u32] {
        &self.tokens[..self.n_fed]
    }

    /// What was said so far.
    pub(crate) fn said(&self) -> &[u32] {
        &self.tokens[self.n_prompt..]
    }

    /// Tokens that it may say: one is drawn at every position from the prompt's end to the context's.
    fn most(&self) -> u32 {
        self.max_tokens.min(self.context + 1 - self.n_prompt as u32)
    }

    pub(crate) fn is_prefilled(&self) -> bool {
        self.done == self.n_fed
    }

    /// Whether it has a row in the next step.
    pub(crate) fn takes_part(&self) -> bool {
        self.is_prefilled() && self.ending.is_none()
    }

    /// Whether it needs one more step than those under way.
    pub(crate) fn wants_step(&self) -> bool {
        self.takes_part() && ((self.said().len() + self.n_ahead) as u32) < self.most()
    }

    /// Guesses of what it says after its next token, as many as it may say yet; none where these depend on more than its tokens.
    pub(crate) fn drafts(&self) -> Vec<u32> {
        let n = self.most().saturating_sub(self.said().len() as u32 + 1).min(MAX_DRAFTS as u32);
        if self.bound.is_some() || self.sampling.looks_back() { Vec::new() } else { look_up(&self.tokens, n as usize) }
    }

    /// Whether steps may be submitted before its last result is known.
    pub(crate) fn runs_ahead(&self) -> bool {
        self.bound.as_ref().is_none_or(Bound::is_lasting)
    }

    /// What the GPU is to know of it so that it goes on with its token at `position`.
    pub(crate) fn step(&self, position: usize) -> Step {
        let (n_sampled, seed, most) = (self.said().len() as u32, self.sampling.seed, self.most());
        Step { position: position as u32, n_sampled, halt: 0, seed, token: self.tokens[position], most, pad: [0; 2] }
    }

    /// Where its latest token is fed.
    pub(crate) fn position(&self) -> usize {
        self.tokens.len() - 1
    }

    /// Positions that it has at most once a step that draws its next token is done.
    pub(crate) fn n_positions(&self) -> u32 {
        ((self.tokens.len() + self.n_ahead) as u32).min(self.context)
    }

    /// A step that draws a token of it and `n_drafts` after that is submitted.
    pub(crate) fn submitted(&mut self, n_drafts: usize) {
        self.history.written = self.history.written.max(self.n_positions() + n_drafts as u32);
        self.n_ahead += 1;
    }

    pub(crate) fn accept(&mut self, id: u32, has_halted: bool) {
        self.first.get_or_insert_with(Instant::now);
        self.tokens.push(id);
        self.latest = Some(has_halted);
    }

    /// Says the next of what is drawn already.
    pub(crate) fn tell(&mut self) -> Option<(SequenceId, Said)> {
        let (token, has_halted) = self.drawn.pop_front()?;
        self.accept(token.id, has_halted);
        Some((self.id, Said::Token(token)))
    }

    /// Why it ends here, if it does. After a token: what that one means comes before who has had enough.
    pub(crate) fn finish(&self) -> Option<Finish> {
        let last = self.said().last().filter(|_| self.latest.is_some());
        if let Some(id) = last.filter(|id| self.stops.contains(id)) {
            return Some(Finish::Stop(*id));
        }
        if self.ending.is_some() {
            return self.ending;
        }
        if self.cancel.is_cancelled() {
            return Some(Finish::Cancelled);
        }
        let most = self.most();
        let is_full = last.is_some() && self.said().len() as u32 == most;
        is_full.then_some(if most < self.max_tokens { Finish::Context } else { Finish::Length })
    }

    /// The answer, and what the cache keeps of it.
    pub(crate) fn end(self, finish: Finish) -> (Generated, History) {
        let Self { mut history, has_begun, done, mut tokens, n_prompt, n_fed, .. } = self;
        let kept = match done == n_fed {
            // The last token's keys may be missing, or those of a step that missed experts.
            true => tokens.len() - usize::from(tokens.len() > n_fed),
            false => done,
        };
        let ids = tokens[n_prompt..].to_vec();
        // What never began leaves the cache as it was.
        if has_begun {
            let kept = kept.min(history.written as usize);
            tokens.truncate(kept);
            history.tokens = tokens;
        }
        let first = self.first.unwrap_or_else(Instant::now);
        let (prefill_seconds, decode_seconds) = ((first - self.began).as_secs_f64(), first.elapsed().as_secs_f64());
        (Generated { ids, finish, n_reused: self.n_reused, prefill_seconds, decode_seconds }, history)
    }
}
