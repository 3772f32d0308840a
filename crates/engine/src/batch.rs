//! Sequences that are answered together: each joins with its prompt, has a row in every decode step, and leaves, while the others
//! go on. What one of them says does not depend on the others.
//!
//! A step is submitted ahead of the results of those before it. A prompt is computed in chunks between steps, with nothing else
//! under way.

use std::collections::{HashSet, VecDeque};

use kernels::ops::{IN_PROMPT, Paging, Pass, Sampler, Sampling, Steps};
use web_time::Instant;

use crate::constraint::Bound;
use crate::history::History;
use crate::report::{Flight, Report};
use crate::resident::{Engine, MOST_LOSSES, StepKind, Tail};
use crate::run::Run;
use crate::{Cancel, Constraint, Error, Finish, Generated, Request, Token};

/// One of the sequences that ever joined a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceId(u64);

/// What becomes known of a sequence.
#[derive(Clone, Debug)]
pub enum Said {
    /// So many of the prompt's tokens are done.
    Prefill {
        done: usize,
        total: usize,
    },
    Token(Token),
    /// It has left.
    Done(Generated),
    /// It has left, as it cannot go on.
    Failed(Error),
}

/// The sequences that an engine is at.
pub struct Batch<'a> {
    pub(crate) engine: &'a mut Engine,
    /// In the order in which they came.
    pub(crate) runs: Vec<Run<'a>>,
    /// Steps under way.
    pub(crate) flights: VecDeque<Flight>,
    n_joined: u64,
    /// When the last step's report came, if nothing but steps was done since.
    pub(crate) last: Option<Instant>,
}

impl<'a> Batch<'a> {
    pub fn new(engine: &'a mut Engine) -> Self {
        // Somebody may have dropped a batch with steps under way.
        engine.ring.forget();
        Self { engine, runs: Vec::new(), flights: VecDeque::new(), n_joined: 0, last: None }
    }

    /// How many more can join.
    pub fn room(&self) -> usize {
        self.engine.model.options.sequences as usize - self.runs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes a sequence in. Of those that the cache has and nobody is at, the one goes on that shares most with its prompt.
    ///
    /// # Errors
    /// No room, a prompt that does not fit, options out of range, or a constraint that nothing meets.
    pub fn join(
        &mut self,
        request: &Request<'_>,
        constraint: Option<Box<dyn Constraint + 'a>>,
        cancel: &Cancel,
    ) -> Result<SequenceId, Error> {
        let engine = &mut *self.engine;
        engine.bounds().check(request.prompt)?;
        if request.max_tokens == 0 {
            return Err(Error::Option { name: "max_tokens", expected: "1 or more", got: "0".into() });
        }
        let n_vocab = engine.model.config.n_vocab;
        let bound = constraint.map(|constraint| Bound::new(constraint, n_vocab)).transpose()?;
        let halts = [request.stops, bound.as_ref().map_or(&[], Bound::pauses)].concat();
        let layout = request.sampling.layout(&halts, bound.is_some(), n_vocab)?;
        let is_free = |sequence: &u32| self.runs.iter().all(|run| run.sequence != *sequence);
        let fitness = |sequence: &u32| {
            let history = &engine.histories[*sequence as usize];
            (history.reusable(request.prompt, &engine.model.layers), std::cmp::Reverse(history.last_used))
        };
        let Some(sequence) = (0..engine.model.options.sequences).filter(is_free).max_by_key(fitness) else {
            return Err(Error::Option { name: "sequences", expected: "fewer at a time", got: (self.runs.len() + 1).to_string() });
        };
        let history = std::mem::take(&mut engine.histories[sequence as usize]);
        let id = SequenceId(self.n_joined);
        self.n_joined += 1;
        let context = engine.model.options.context;
        self.runs.push(Run::new(id, sequence, request, context, layout, bound, cancel, history));
        Ok(id)
    }

    /// Nobody wants more of a sequence: it ends at its latest token, and says so at the next step.
    pub fn leave(&mut self, id: SequenceId) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == id) {
            run.ending.get_or_insert(Finish::Break);
        }
    }

    /// Goes on until something becomes known: a token of each sequence, a part of a prompt, who has ended. If the device is lost,
    /// all go on on another one.
    ///
    /// # Errors
    /// What the feed or the GPU reports; none of the sequences can go on then.
    pub async fn step(&mut self) -> Result<Vec<(SequenceId, Said)>, Error> {
        let ended = self.follow_up();
        if !ended.is_empty() || self.runs.is_empty() {
            return Ok(ended);
        }
        match self.go_on().await {
            Err(Error::DeviceLost { why }) => self.revive(&why).await,
            said => said,
        }
    }

    /// Waits for what is under way, of which nobody wants to know.
    ///
    /// # Errors
    /// What the GPU reports, but for a lost device.
    pub async fn end(mut self) -> Result<(), Error> {
        while let Some(flight) = self.flights.pop_front() {
            match self.engine.next_report(&flight).await {
                Ok(_) => {}
                // Answers are whole; the next one begins on another device.
                Err(Error::DeviceLost { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Who has ended leaves; who may say other tokens now is told which.
    fn follow_up(&mut self) -> Vec<(SequenceId, Said)> {
        let mut ended = Vec::new();
        let mut at = 0;
        while let Some(run) = self.runs.get_mut(at) {
            if let Some(finish) = run.finish() {
                let run = self.runs.remove(at);
                let (id, sequence) = (run.id, run.sequence as usize);
                let (generated, history) = run.end(finish);
                self.engine.n_answers += 1;
                self.engine.histories[sequence] = History { last_used: self.engine.n_answers, ..history };
                ended.push((id, Said::Done(generated)));
            } else if let Err(error) = self.engine.bind(run) {
                ended.push((run.id, Said::Failed(error)));
                self.runs.remove(at);
            } else {
                at += 1;
            }
        }
        ended
    }

    async fn go_on(&mut self) -> Result<Vec<(SequenceId, Said)>, Error> {
        if let Some(said) = self.runs.iter_mut().find_map(Run::tell) {
            self.engine.experts.count(|p| p.tokens += 1);
            return Ok(vec![said]);
        }
        match self.runs.iter().position(|run| !run.is_prefilled()) {
            Some(at) if self.flights.is_empty() => return self.prefill(at).await,
            Some(_) => {}
            None => self.run_ahead().await?,
        }
        self.take().await
    }

    /// Computes the next part of a prompt; its last one also draws the first token.
    async fn prefill(&mut self, at: usize) -> Result<Vec<(SequenceId, Said)>, Error> {
        let is_alone = !self.runs.iter().any(Run::wants_step);
        let (engine, run) = (&mut *self.engine, &mut self.runs[at]);
        self.last = None;
        engine.gpu.check()?;
        if !run.has_begun {
            engine.begin(run)?;
        }
        let total = run.fed().len();
        let mut chunk = (engine.pace.chunk(is_alone) as usize).min(total - run.done);
        // The pace must not decide who is alone: a token alone has kernels of its own, which round otherwise.
        if chunk > 2 && run.done + chunk + 1 == total {
            chunk -= 1;
        }
        let is_last = run.done + chunk == total;
        let began = Instant::now();
        let step = run.step(run.done);
        engine.place(run.sequence, &run.fed()[run.done..run.done + chunk], step);
        run.history.written = run.history.written.max((run.done + chunk) as u32);
        let by_layer = engine.needs_routes();
        let tail = if is_last { Tail::Sample } else { Tail::Nothing };
        // Where nothing can be missed nobody stands in, and a chunk of one token is a decode step.
        let kind = StepKind { pass: Pass::of(chunk as u32), tail, stand_ins: !by_layer };
        let n_positions = (run.done + chunk) as u32;
        let Some(encoder) = engine.encode(kind, n_positions, &run.cancel).await? else { return Ok(Vec::new()) };
        if is_last {
            let has_alternatives = run.sampling.n_logprobs > 0;
            let flight =
                Flight { kind, rows: vec![run.id], n_positions, has_alternatives, is_prompt: true, has_routes: false, drafts: Vec::new() };
            engine.submit_report(encoder, &flight);
            self.flights.push_back(flight);
            run.submitted(0);
        } else {
            engine.gpu.queue.submit([encoder.finish()]);
            engine.gpu.idle().await?;
            let layers = by_layer.then(|| engine.experts.n_layers());
            engine.pace.learn_chunk(chunk as u32, began.elapsed().as_secs_f64(), layers, engine.model.options.chunk);
        }
        run.done += chunk;
        let said = vec![(run.id, Said::Prefill { done: run.done, total })];
        if !is_last && self.runs.iter().any(Run::wants_step) {
            // Nobody stands still for a long prompt.
            self.submit()?;
        }
        Ok(said)
    }

    /// Keeps steps under way, as many as suit the GPU and all sequences.
    async fn run_ahead(&mut self) -> Result<(), Error> {
        if let Some(drafts) = self.drafts() {
            // These are known once all before them is.
            return if self.flights.is_empty() { self.submit_drafts(drafts).await } else { Ok(()) };
        }
        let ahead = if self.runs.iter().all(Run::runs_ahead) { self.engine.pace.ahead() } else { 1 };
        while self.flights.len() < ahead && self.runs.iter().any(Run::wants_step) {
            self.submit()?;
        }
        Ok(())
    }

    /// Submits a step of all who take part.
    pub(crate) fn submit(&mut self) -> Result<(), Error> {
        let engine = &mut *self.engine;
        let runs = || self.runs.iter().filter(|run| run.takes_part());
        let rows: Vec<SequenceId> = runs().map(|run| run.id).collect();
        let most = engine.model.options.sequences;
        let pass = engine.pass_of(rows.len());
        engine.write_rows(|table| {
            if most > 1 {
                table[..Steps::LONE].fill(Steps::NOBODY);
                table.iter_mut().zip(runs()).for_each(|(row, run)| *row = run.sequence);
            }
        });
        let kind = StepKind { pass, tail: Tail::Sample, stand_ins: true };
        let step = engine.step(kind)?;
        let has_alternatives = runs().any(|run| run.sampling.n_logprobs > 0);
        let n_positions = runs().map(Run::n_positions).max().unwrap_or(u32::MAX);
        let flight =
            Flight { kind, rows, n_positions, has_alternatives, is_prompt: false, has_routes: engine.needs_routes(), drafts: Vec::new() };
        let mut encoder = engine.gpu.encoder();
        step.prepared.encode_range(&mut encoder, &engine.gpu, 0..step.end, n_positions);
        engine.submit_report(encoder, &flight);
        self.flights.push_back(flight);
        self.runs.iter_mut().filter(|run| run.takes_part()).for_each(|run| run.submitted(0));
        Ok(())
    }

    /// The oldest step under way and what it left.
    async fn landed(&mut self) -> Result<Option<(Flight, Report)>, Error> {
        let Some(flight) = self.flights.pop_front() else { return Ok(None) };
        let report = self.engine.next_report(&flight).await?;
        for run in self.runs.iter_mut().filter(|run| flight.rows.contains(&run.id)) {
            run.n_ahead -= 1;
        }
        Ok(Some((flight, report)))
    }

    /// Takes the tokens of the oldest step under way.
    async fn take(&mut self) -> Result<Vec<(SequenceId, Said)>, Error> {
        let Some((mut flight, mut report)) = self.landed().await? else {
            return Err(Error::Gpu { why: "no sequence can go on".into() });
        };
        let mut brought = HashSet::new();
        if report.first_miss().is_some() {
            // What was submitted behind it is the same step again, as it advances only when it is whole; those who have left since
            // are not in it.
            while let Some(behind) = self.landed().await? {
                (flight, report) = behind;
            }
            let cancel = Cancel::all(self.runs.iter().map(|run| &run.cancel));
            match self.engine.replay(&flight, report, &mut brought, &cancel).await? {
                Some(whole) => report = whole,
                None => return Ok(Vec::new()),
            }
            self.engine.pace.miss();
        } else {
            self.engine.pace.hit();
        }
        let now = Instant::now();
        let seconds = self.last.replace(now).filter(|_| !flight.is_prompt).map(|last| (now - last).as_secs_f64());
        if !flight.drafts.is_empty() {
            return Ok(self.take_drafts(&flight, &report, seconds));
        }
        if let Some(seconds) = seconds {
            self.engine.pace.learn_step(seconds);
            self.engine.drafts.learn_plain(seconds);
        }

        let mut said = Vec::new();
        let mut counted = Vec::new();
        for (row, id) in flight.rows.iter().enumerate() {
            let Some(run) = self.runs.iter_mut().find(|run| run.id == *id) else { continue };
            let sampled = report.sampled[row];
            // Else it had halted before, or has left.
            if run.ending.is_some() || sampled.n_sampled != run.said().len() as u32 + 1 {
                continue;
            }
            let token = report.token(row, run.sampling.n_logprobs);
            run.accept(token.id, sampled.halt == 1);
            said.push((*id, Said::Token(token)));
            counted.push(row);
        }
        // A prompt has counted for itself.
        if !flight.is_prompt {
            self.engine.note(&report, &counted, &brought);
        }
        self.engine.experts.count(|p| p.tokens += counted.len() as u64);
        Ok(said)
    }

    /// Goes on on another device.
    async fn revive(&mut self, why: &str) -> Result<Vec<(SequenceId, Said)>, Error> {
        log::warn!("the GPU was lost during {} answers: {why}", self.runs.len());
        self.flights.clear();
        self.last = None;
        let cancel = Cancel::all(self.runs.iter().map(|run| &run.cancel));
        self.runs.iter_mut().for_each(Run::restart);
        if self.runs.iter().any(|run| run.n_losses == MOST_LOSSES) {
            return Err(self.engine.gpu.last_loss(format!("{MOST_LOSSES} times during one answer")));
        }
        // If all are cancelled meanwhile, they end as they are.
        self.engine.revive(&cancel, &mut |_| {}).await?;
        Ok(Vec::new())
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("sequences", &self.runs.iter().map(|run| run.id).collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Tells the GPU how a sequence samples, and finds what of it is in the cache already.
    fn begin(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
        let n_vocab = self.model.config.n_vocab;
        let s = self.model.state.sampler;
        self.write(Sampler::of_sequence(s.sampling, run.sequence, 1, size_of::<Sampling>() as u64), bytemuck::bytes_of(&run.layout));
        self.write_logit_bias(run.sequence, &run.sampling.logit_bias);
        let mut counts = vec![0u32; n_vocab as usize];
        if run.sampling.looks_at_prompt() {
            run.fed().iter().for_each(|id| counts[*id as usize] = IN_PROMPT);
        }
        run.said().iter().for_each(|id| counts[*id as usize] += 1);
        self.write(Sampler::of_sequence(s.counts, run.sequence, n_vocab, 4), bytemuck::cast_slice(&counts));
        self.write_mask(run);
        // A pass that was broken off may have left what it missed.
        self.write(self.model.state.paging.first_miss(), bytemuck::bytes_of(&Paging::NO_MISS));

        let n_reused = run.history.reusable(run.fed(), &self.model.layers);
        if n_reused == 0 {
            run.history = History::default();
        }
        (run.has_begun, run.done, run.n_reused) = (true, n_reused as usize, n_reused as usize);
        Ok(())
    }

    /// After a token: asks the constraint, if there is one, what may follow.
    fn bind(&self, run: &mut Run<'_>) -> Result<(), Error> {
        let (Some(has_halted), Some(id)) = (run.latest.take(), run.said().last().copied()) else { return Ok(()) };
        let Some(bound) = run.bound.as_mut().filter(|bound| bound.ends_at(id)) else { return Ok(()) };
        // Before anything can fail: what was said is known to the constraint, too.
        bound.ask(Some(id))?;
        self.write_mask(run);
        if has_halted {
            // A pause, which halted what was submitted behind it.
            self.write_step(run.sequence, run.step(run.position()));
        }
        Ok(())
    }

    fn write_mask(&self, run: &Run<'_>) {
        let Some(bound) = &run.bound else { return };
        let n_words = self.model.config.n_vocab.div_ceil(32);
        self.write(Sampler::of_sequence(self.model.state.sampler.mask, run.sequence, n_words, 4), bytemuck::cast_slice(bound.ids()));
    }
}
