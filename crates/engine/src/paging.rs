//! Experts on demand. A decode step runs to its end even where experts are missing; what it wanted is read with its
//! result, fetched, and the step runs again from the first layer that missed. A prefill chunk, which may want more
//! experts than there are slots, goes layer by layer. Either way the result is, bit for bit, that of a model which is
//! resident as a whole.

use std::collections::{BTreeMap, HashSet};

use kernels::ops::{Paging as Table, Route};
use web_time::Instant;

use crate::report::{Flight, Report};
use crate::resident::{Engine, Step, StepKind};
use crate::{Cancel, Error, Experts, Paging, PagingEvent, Urgency};

/// Experts of one layer that must be there together.
#[derive(Debug)]
pub(crate) struct Want {
    layer: usize,
    experts: Vec<u32>,
    why: Urgency,
}

impl Engine {
    /// The books of this model's experts.
    pub fn experts(&self) -> &Experts {
        &self.experts
    }

    /// What experts cost so far.
    pub fn paging(&self) -> Paging {
        self.experts.paging()
    }

    /// Reads experts into all free slots, the hottest first. False if `cancel` ended it.
    ///
    /// # Errors
    /// What the feed or the GPU reports.
    pub async fn fill(&mut self, urgency: Urgency, cancel: &Cancel) -> Result<bool, Error> {
        self.fetch(&self.experts.to_fill(), urgency, cancel).await
    }

    /// Reads those of these (layer, expert) that are not on the GPU, as many of each layer as have room together. False if
    /// `cancel` ended it.
    ///
    /// # Errors
    /// A layer or an expert that the model does not have; what the feed or the GPU reports.
    pub async fn fetch(&mut self, experts: &[(u32, u32)], urgency: Urgency, cancel: &Cancel) -> Result<bool, Error> {
        let mut by_layer = BTreeMap::<u32, Vec<u32>>::new();
        for &(layer, expert) in experts {
            self.experts.check(layer, expert)?;
            by_layer.entry(layer).or_default().push(expert);
        }
        let wants: Vec<Want> = by_layer.into_iter().map(|(layer, experts)| Want { layer: layer as usize, experts, why: urgency }).collect();
        self.bring(&wants, cancel).await
    }

    /// Reads what is missing of `wants` into slots, all of it as urgently as the most urgent. False if `cancel` ended it.
    async fn bring(&mut self, wants: &[Want], cancel: &Cancel) -> Result<bool, Error> {
        let Some(urgency) = wants.iter().map(|want| want.why).min() else { return Ok(true) };
        self.gpu.check()?;
        let began = Instant::now();
        let mut uploads = Vec::new();
        let mut placed = Vec::new();
        for want in wants {
            for &expert in &want.experts {
                if self.experts.has(want.layer, expert) {
                    continue;
                }
                // No room: more is wanted than there are slots, which a later pass will come to.
                let Some(slot) = self.experts.make_room(want.layer, expert, &want.experts, want.why) else { break };
                uploads.extend(self.model.expert_uploads(want.layer, expert, slot));
                placed.push((want.layer, expert, slot));
            }
            // Who gave up a slot is gone before anything is written to it.
            self.write_table(want.layer);
        }
        let mut expert_bytes = 0;
        let read = self.take_in(&uploads, urgency, cancel, &mut |bytes| expert_bytes += bytes).await;
        self.experts.count(|p| p.expert_bytes += expert_bytes);
        for (layer, expert, slot) in placed {
            self.experts.settle(layer, expert, slot, self.model.bytes.per_expert, matches!(read, Ok(true)));
        }
        wants.iter().for_each(|want| self.write_table(want.layer));
        if urgency == Urgency::Demand {
            let seconds = began.elapsed().as_secs_f64();
            self.experts.count(|p| p.stall_seconds += seconds);
            self.experts.tell(|| PagingEvent::Stall { seconds });
        }
        read
    }

    fn write_table(&self, layer: usize) {
        self.write(self.model.state.paging.row(layer as u32), bytemuck::cast_slice(&self.experts.table(layer)));
    }

    /// Fetches what a decode step missed and runs it again from there, until nothing is missing; notes what came in `brought`.
    /// Nothing else may be under way. `None` if `cancel` ended it.
    pub(crate) async fn replay(
        &mut self,
        flight: &Flight,
        mut report: Report,
        brought: &mut HashSet<(usize, u32)>,
        cancel: &Cancel,
    ) -> Result<Option<Report>, Error> {
        let n_layers = self.model.layers.len();
        while let Some(first) = report.first_miss() {
            // Exact for the first layer that missed, a prediction for those after it.
            let why = |layer| if layer == first { Urgency::Demand } else { Urgency::Prefetch };
            let want = |layer| Want { layer, experts: wanted(report.routes_of(layer, n_layers)), why: why(layer) };
            let wants: Vec<Want> = (first..n_layers).map(want).collect();
            for want in &wants {
                let missing = want.experts.iter().filter(|e| !self.experts.has(want.layer, **e));
                brought.extend(missing.map(|e| (want.layer, *e)));
            }
            self.write(self.model.state.paging.first_miss(), bytemuck::bytes_of(&Table::NO_MISS));
            let mut encoder = self.gpu.encoder();
            self.restore(&mut encoder, flight.rows.len());
            let is_crowded = wants[0].experts.len() > self.experts.n_slots() as usize;
            if is_crowded {
                // All rows together want more than there are slots. Nobody stands in for whom a later group brings.
                self.gpu.queue.submit([encoder.finish()]);
                let step = self.step(StepKind { stand_ins: false, ..flight.kind })?;
                let n_tokens = flight.kind.pass.n_tokens();
                let Some(rest) = self.layer_by_layer(&step, n_tokens, flight.n_positions, first, cancel).await? else { return Ok(None) };
                encoder = rest;
            } else {
                if !self.bring(&wants, cancel).await? {
                    return Ok(None);
                }
                let step = self.step(flight.kind)?;
                let route = step.layers[first].route;
                step.prepared.encode_range(&mut encoder, &self.gpu, route..step.end, flight.n_positions);
            }
            self.experts.count(|p| p.replays += 1);
            self.experts.tell(|| PagingEvent::Replay { layer: first as u32 });
            self.submit_report(encoder, flight);
            report = self.next_report(flight).await?;
            if is_crowded {
                report.uncounted = first;
            }
        }
        Ok(Some(report))
    }

    /// Takes the residual stream of some rows back to where the first miss was.
    fn restore(&self, encoder: &mut wgpu::CommandEncoder, n_rows: usize) {
        let (saved, x) = (self.model.state.saved, self.model.state.x);
        let bytes = n_rows as u64 * u64::from(self.model.config.n_embd) * 4;
        encoder.copy_buffer_to_buffer(self.buffer(saved), saved.offset, self.buffer(x), x.offset, bytes);
    }

    /// Counts the choices of a decode step's tokens, by their `rows`; those of `brought` were misses.
    pub(crate) fn note(&mut self, report: &Report, rows: &[usize], brought: &HashSet<(usize, u32)>) {
        let (n_used, n_layers) = (self.model.config.experts.n_used as usize, self.model.layers.len());
        for layer in 0..report.uncounted {
            for &row in rows {
                let routes = &report.routes_of(layer, n_layers)[row * n_used..(row + 1) * n_used];
                let is_missed = |expert| brought.contains(&(layer, expert));
                let (missed, here): (Vec<u32>, Vec<u32>) = routes.iter().map(|r| r.wanted).partition(|e| is_missed(*e));
                self.note_use(layer, &here, &missed);
                self.experts.used(layer, routes);
                self.watch(layer, routes, is_missed);
            }
        }
    }

    /// Counts the experts that a token or a chunk used in a layer.
    fn note_use(&self, layer: usize, here: &[u32], missed: &[u32]) {
        self.experts.count(|p| {
            p.hits += here.len() as u64;
            p.misses += missed.len() as u64;
        });
        self.experts.tell(|| PagingEvent::Use { layer: layer as u32, experts: [here, missed].concat(), missed: missed.to_vec() });
    }

    /// Runs a step of `n_tokens`, of sequences that have `n_positions` at most, from the router of layer `first` on, or from its
    /// beginning if that is 0, fetching each layer's experts in groups that fit; all but its end is submitted, the end is given back.
    /// `None` if `cancel` ended it.
    pub(crate) async fn layer_by_layer(
        &mut self,
        step: &Step,
        n_tokens: u32,
        n_positions: u32,
        first: usize,
        cancel: &Cancel,
    ) -> Result<Option<wgpu::CommandEncoder>, Error> {
        let n_used = self.model.config.experts.n_used as usize;
        let routes_bytes = u64::from(n_tokens) * (n_used * size_of::<Route>()) as u64;
        let mut encoder = self.gpu.encoder();
        let mut next = if first == 0 { 0 } else { step.layers[first].route };
        for (layer, cuts) in step.layers.iter().enumerate().skip(first) {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            step.prepared.encode_range(&mut encoder, &self.gpu, next..cuts.experts, n_positions);
            next = cuts.combine;
            let routes = self.model.state.routes[layer];
            self.ring.submit(&self.gpu, encoder, &[(self.buffer(routes).clone(), routes.offset, routes_bytes)]);
            let bytes = self.ring.next(&self.gpu).await?.unwrap_or_default();
            let routes: Vec<Route> = bytemuck::pod_collect_to_vec(&bytes);

            let (here, missing): (Vec<u32>, Vec<u32>) = wanted(&routes).into_iter().partition(|e| self.experts.has(layer, *e));
            self.note_use(layer, &here, &missing);
            let mut unread: HashSet<u32> = missing.iter().copied().collect();
            for token in routes.chunks(n_used).filter(|token| !has_halted(token)) {
                self.experts.used(layer, token);
                self.watch(layer, token, |expert| unread.remove(&expert));
            }

            encoder = self.gpu.encoder();
            if !here.is_empty() {
                step.prepared.encode_range(&mut encoder, &self.gpu, cuts.experts..cuts.combine, n_positions);
            }
            for group in missing.chunks(self.experts.n_slots() as usize) {
                // While these are read, the GPU works on those that were there.
                self.gpu.queue.submit([std::mem::replace(&mut encoder, self.gpu.encoder()).finish()]);
                let want = Want { layer, experts: group.to_vec(), why: Urgency::Demand };
                if !self.bring(&[want], cancel).await? {
                    return Ok(None);
                }
                step.prepared.encode_range(&mut encoder, &self.gpu, cuts.next_group.clone(), n_positions);
                step.prepared.encode_range(&mut encoder, &self.gpu, cuts.experts..cuts.combine, n_positions);
            }
        }
        // Routers noted misses that were met here.
        self.write(self.model.state.paging.first_miss(), bytemuck::bytes_of(&Table::NO_MISS));
        step.prepared.encode_range(&mut encoder, &self.gpu, next..step.end, n_positions);
        Ok(Some(encoder))
    }
}

/// Whether a token's choices, as the router left them, are those of a row that nobody draws for.
fn has_halted(choices: &[Route]) -> bool {
    choices.iter().all(|route| route.slot == Route::DONE)
}

/// The experts that the router's choices want, each once. A row that has halted wants none.
fn wanted(routes: &[Route]) -> Vec<u32> {
    let mut wanted: Vec<u32> = routes.iter().filter(|route| route.slot != Route::DONE).map(|route| route.wanted).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}
