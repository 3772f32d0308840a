//! Steps with drafts: a sequence that is alone has its next token computed together with guesses of those after it. What each row
//! draws is what is said, and it counts as long as the rows before it drew what it took for said: so ids are the same without.

use kernels::ops::{MAX_DRAFTS, Pass, Step, Steps};

use crate::batch::{Batch, Said};
use crate::drafts::Drafting;
use crate::report::{Flight, Report};
use crate::resident::{Engine, StepKind, Tail};
use crate::run::Run;
use crate::{Cancel, Error, SequenceId, readback};

impl Engine {
    /// When to draft; nothing that is said depends on it.
    pub fn set_drafting(&mut self, when: Drafting) {
        self.drafts.when = when;
    }

    /// Of a decode step of `n` sequences.
    pub(crate) fn pass_of(&self, n: usize) -> Pass {
        match self.model.options.sequences {
            1 => Pass::Alone,
            most => Pass::Batch { n: n.next_power_of_two() as u32, most },
        }
    }

    fn pass_of_drafts(&self) -> Pass {
        Pass::Drafts { most: self.model.options.sequences }
    }

    /// Gives the next step's rows to a sequence and its drafts, of which there are as many as `steps`; the others have halted.
    fn place_drafts(&mut self, sequence: u32, steps: &[Step]) {
        self.write_rows(|rows| (0..).zip(rows).take(1 + MAX_DRAFTS).for_each(|(i, row)| *row = sequence + i * Steps::DRAFT));
        let mut all = [Step { halt: 1, ..Step::default() }; MAX_DRAFTS];
        all.iter_mut().zip(steps).for_each(|(draft, step)| *draft = *step);
        self.write(Steps::drafts_of(self.model.state.steps), bytemuck::cast_slice(&all));
    }

    /// Whether a sequence's next token has, to the last bit, the same logits in every row of a step with drafts as in a step of its own:
    /// an engine of one sequence has other kernels there, which sum in the same order unless their shapes differ or a compiler
    /// makes a difference. That shows in some bit of some logit, whatever the token.
    async fn do_rows_agree(&mut self, run: &Run<'_>) -> Result<bool, Error> {
        let step = run.step(run.position());
        let bytes_each = u64::from(self.model.config.n_vocab) * 4;
        let mut alone = Vec::new();
        for pass in [self.pass_of(1), self.pass_of_drafts()] {
            match pass {
                Pass::Drafts { .. } => self.place_drafts(run.sequence, &[step; MAX_DRAFTS]),
                _ => self.write_rows(|rows| rows[0] = run.sequence),
            }
            let kind = StepKind { pass, tail: Tail::Logits, stand_ins: false };
            let Some(encoder) = self.encode(kind, step.position + 1, &Cancel::default()).await? else { return Ok(false) };
            self.gpu.queue.submit([encoder.finish()]);
            let logits = self.model.state.logits;
            let found = readback::read(&self.gpu, self.buffer(logits), logits.offset, bytes_each * u64::from(pass.n_tokens())).await?;
            if alone.is_empty() {
                alone = found;
            } else if found.chunks(alone.len()).any(|row| row != alone) {
                log::info!("no drafts: rows of a step round otherwise on this GPU");
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Batch<'_> {
    /// Guesses of what follows the next token, if the next step should have any.
    pub(crate) fn drafts(&self) -> Option<Vec<u32>> {
        let [run] = self.runs.as_slice() else { return None };
        let engine = &self.engine;
        let has_rows = engine.model.state.n_drawn > MAX_DRAFTS as u32 && engine.rows_agree != Some(false);
        let can_draft = has_rows && engine.drafts.are_wanted() && !engine.needs_routes() && run.takes_part();
        can_draft.then(|| run.drafts()).filter(|drafts| !drafts.is_empty())
    }

    /// Submits a step of the one sequence with `drafts`, while nothing is under way.
    pub(crate) async fn submit_drafts(&mut self, drafts: Vec<u32>) -> Result<(), Error> {
        let [run] = self.runs.as_mut_slice() else { return Ok(()) };
        let engine = &mut *self.engine;
        let agree = match engine.rows_agree {
            Some(agree) => agree,
            None => {
                self.last = None;
                let agree = engine.do_rows_agree(run).await?;
                engine.rows_agree = Some(agree);
                agree
            }
        };
        if !agree {
            return self.submit();
        }
        let first = run.step(run.position());
        let ahead = |(i, token): (u32, &u32)| Step { position: first.position + i, n_sampled: first.n_sampled + i, token: *token, ..first };
        let steps: Vec<Step> = (1..).zip(&drafts).map(ahead).collect();
        engine.place_drafts(run.sequence, &steps);
        let kind = StepKind { pass: engine.pass_of_drafts(), tail: Tail::Sample, stand_ins: true };
        let n_positions = run.n_positions() + drafts.len() as u32;
        run.submitted(drafts.len());
        engine.experts.count(|p| p.drafted += drafts.len() as u64);
        let has_alternatives = run.sampling.n_logprobs > 0;
        let flight = Flight { kind, rows: vec![run.id], n_positions, has_alternatives, is_prompt: false, has_routes: false, drafts };
        let step = engine.step(kind)?;
        let mut encoder = engine.gpu.encoder();
        step.prepared.encode_range(&mut encoder, &engine.gpu, 0..step.end, n_positions);
        engine.submit_report(encoder, &flight);
        self.flights.push_back(flight);
        Ok(())
    }

    /// Takes the tokens of a step with drafts, up to the first that is not the one guessed; tells of the first.
    pub(crate) fn take_drafts(&mut self, flight: &Flight, report: &Report, seconds: Option<f64>) -> Vec<(SequenceId, Said)> {
        let engine = &mut *self.engine;
        let Some(run) = self.runs.iter_mut().find(|run| flight.rows.contains(&run.id)) else { return Vec::new() };
        let first = run.step(run.position());
        for row in 0..flight.n_rows() {
            if let Some((before, has_halted)) = run.drawn.back()
                && (*has_halted || flight.drafts[row - 1] != before.id)
            {
                break;
            }
            run.drawn.push_back((report.token(row, run.sampling.n_logprobs), report.sampled[row].halt == 1));
        }
        let n = run.drawn.len() as u32;
        if let Some((last, has_halted)) = run.drawn.back().filter(|_| n > 1) {
            let (position, n_sampled) = (first.position + n, first.n_sampled + n);
            engine.write_step(run.sequence, Step { position, n_sampled, token: last.id, halt: u32::from(*has_halted), ..first });
        }
        if let Some(seconds) = seconds {
            engine.drafts.learn_drafted(n as usize, seconds);
        }
        engine.experts.count(|p| {
            p.draft_hits += u64::from(n) - 1;
            p.tokens += 1;
        });
        run.tell().into_iter().collect()
    }
}
