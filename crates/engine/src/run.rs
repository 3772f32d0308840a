//! One sequence of a batch, from the prompt to why it ended.

use kernels::ops::Step;
use web_time::Instant;

use crate::constraint::Bound;
use crate::history::History;
use crate::{Cancel, Finish, Generated, Request, SamplingOptions, SequenceId};

/// An answer under way.
pub(crate) struct Run<'a> {
    pub(crate) id: SequenceId,
    /// Which of the KV cache's sequences it is.
    pub(crate) sequence: u32,
    pub(crate) prompt: Vec<u32>,
    pub(crate) max_tokens: u32,
    pub(crate) sampling: SamplingOptions,
    pub(crate) stops: Vec<u32>,
    pub(crate) bound: Option<Bound<'a>>,
    pub(crate) cancel: Cancel,
    /// What the cache has of it; if anything fails, nothing that can be relied on.
    pub(crate) history: History,
    /// Tokens accepted so far.
    pub(crate) ids: Vec<u32>,
    /// What is fed before the next token is drawn: the prompt, and what was said before a device was lost.
    pub(crate) fed: Vec<u32>,
    /// Whether the GPU knows how it samples.
    pub(crate) has_begun: bool,
    /// Of `fed`, how much is in the cache.
    pub(crate) done: usize,
    pub(crate) n_reused: usize,
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
    pub(crate) fn new(
        id: SequenceId,
        sequence: u32,
        request: &Request<'_>,
        bound: Option<Bound<'a>>,
        cancel: &Cancel,
        history: History,
    ) -> Self {
        Self {
            id,
            sequence,
            prompt: request.prompt.to_vec(),
            max_tokens: request.max_tokens,
            sampling: request.sampling.clone(),
            stops: request.stops.to_vec(),
            bound,
            cancel: cancel.clone(),
            history,
            ids: Vec::new(),
            fed: request.prompt.to_vec(),
            has_begun: false,
            done: 0,
            n_reused: 0,
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
        self.fed = [&self.prompt[..], &self.ids].concat();
        self.history = History::default();
        (self.has_begun, self.done, self.n_ahead) = (false, 0, 0);
        self.n_losses += 1;
    }

    /// Tokens said before what is fed ended.
    pub(crate) fn n_said(&self) -> u32 {
        (self.fed.len() - self.prompt.len()) as u32
    }

    /// Tokens that it may say: a token is drawn at every position from the end of what is fed to the context's.
    pub(crate) fn most(&self, context: u32) -> u32 {
        self.max_tokens.min(self.n_said() + context - self.fed.len() as u32 + 1)
    }

    pub(crate) fn is_prefilled(&self) -> bool {
        self.done == self.fed.len()
    }

    /// Whether it has a row in the next step.
    pub(crate) fn takes_part(&self) -> bool {
        self.is_prefilled() && self.ending.is_none()
    }

    /// Whether it needs one more step than those under way.
    pub(crate) fn wants_step(&self, context: u32) -> bool {
        self.takes_part() && ((self.ids.len() + self.n_ahead) as u32) < self.most(context)
    }

    /// Whether steps may be submitted before its last result is known.
    pub(crate) fn runs_ahead(&self) -> bool {
        self.bound.as_ref().is_none_or(Bound::is_lasting)
    }

    /// What the GPU is to know of it so that it goes on at `position` with `token`.
    pub(crate) fn step(&self, position: u32, token: u32, context: u32) -> Step {
        let (n_sampled, seed, most) = (self.ids.len() as u32, self.sampling.seed, self.most(context));
        Step { position, n_sampled, halt: 0, seed, token, most, pad: [0; 2] }
    }

    /// Where its latest token is fed.
    pub(crate) fn position(&self) -> u32 {
        (self.prompt.len() + self.ids.len()) as u32 - 1
    }

    /// Positions that it has at most once a step that draws its next token is done.
    pub(crate) fn n_positions(&self, context: u32) -> u32 {
        ((self.prompt.len() + self.ids.len() + self.n_ahead) as u32).min(context)
    }

    /// A step that draws a token of it is submitted.
    pub(crate) fn submitted(&mut self, context: u32) {
        self.history.written = self.history.written.max(self.n_positions(context));
        self.n_ahead += 1;
    }

    pub(crate) fn accept(&mut self, id: u32, has_halted: bool) {
        self.first.get_or_insert_with(Instant::now);
        self.ids.push(id);
        self.latest = Some(has_halted);
    }

    /// Why it ends here, if it does. After a token: what that one means comes before who has had enough.
    pub(crate) fn finish(&self, context: u32) -> Option<Finish> {
        let last = self.ids.last().filter(|_| self.latest.is_some());
        if let Some(id) = last.filter(|id| self.stops.contains(id)) {
            return Some(Finish::Stop(*id));
        }
        if self.ending.is_some() {
            return self.ending;
        }
        if self.cancel.is_cancelled() {
            return Some(Finish::Cancelled);
        }
        let most = self.most(context);
        let is_full = last.is_some() && self.ids.len() as u32 == most;
        is_full.then_some(if most < self.max_tokens { Finish::Context } else { Finish::Length })
    }

    /// The answer, and what the cache keeps of it.
    pub(crate) fn end(self, finish: Finish) -> (Generated, History) {
        let Self { mut history, has_begun, done, fed, prompt, ids, .. } = self;
        let kept = match done == fed.len() {
            // The last token's keys may be missing, or those of a step that missed experts.
            true => (prompt.len() + ids.len()).saturating_sub(usize::from(ids.len() > fed.len() - prompt.len())),
            false => done,
        };
        // What never began leaves the cache as it was.
        if has_begun {
            let kept = kept.min(history.written as usize);
            history.tokens = prompt.iter().chain(&ids).copied().take(kept).collect();
        }
        let first = self.first.unwrap_or_else(Instant::now);
        let (prefill_seconds, decode_seconds) = ((first - self.began).as_secs_f64(), first.elapsed().as_secs_f64());
        (Generated { ids, finish, n_reused: self.n_reused, prefill_seconds, decode_seconds }, history)
    }
}
