//! Experts on demand. A decode step runs to its end even where experts are missing; what it wanted is read with its
//! result, fetched, and the step runs again from the first layer that missed. A prefill chunk, which may want more
//! experts than there are slots, goes layer by layer. Either way the result is, bit for bit, that of a model which is
//! resident as a whole.

use std::collections::HashSet;

use kernels::Slice;
use kernels::ops::{Paging as Table, Route, Sampled};

use crate::generate::Request;
use crate::policy::Choice;
use crate::resident::{Engine, LayerCuts, Step};
use crate::{Cancel, Error, Urgency};

/// What experts cost since the engine was made.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// Choices whose expert was on the GPU when its token came; a prefill chunk counts an expert once a layer.
    pub hits: u64,
    pub misses: u64,
    /// Passes over the layers or some of them that drew a token or would have, but for a miss.
    pub passes: u64,
    /// Bytes of dense weights that were read.
    pub dense_bytes: u64,
    /// Bytes of experts that were read.
    pub expert_bytes: u64,
    /// Different experts that tokens used, all layers together.
    pub touched: HashSet<(u32, u32)>,
}

/// Experts of one layer that must be there together.
#[derive(Debug)]
pub(crate) struct Want {
    layer: usize,
    experts: Vec<u32>,
}

/// What a step that draws a token left behind.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sampled: Sampled,
    /// `[n_layers, n_used]`; nothing where all experts are resident and nobody asked.
    routes: Vec<Route>,
}

impl Report {
    /// The layer to run from again.
    fn first_miss(&self) -> Option<usize> {
        (self.sampled.first_miss != Table::NO_MISS).then_some(self.sampled.first_miss as usize)
    }

    pub(crate) fn is_miss(&self) -> bool {
        self.first_miss().is_some()
    }
}

impl Engine {
    /// What experts cost so far.
    pub fn paging(&self) -> &Paging {
        &self.paging
    }

    /// Whether no expert can be missed.
    pub fn is_whole(&self) -> bool {
        self.residency.iter().all(crate::residency::Residency::is_whole)
    }

    /// Reads experts into all free slots, the most used first. False if `cancel` ended it.
    ///
    /// # Errors
    /// What the feed or the GPU reports.
    pub async fn fill(&mut self, urgency: Urgency, cancel: &Cancel) -> Result<bool, Error> {
        let wants: Vec<Want> = self.residency.iter().enumerate().map(|(layer, r)| Want { layer, experts: r.to_fill() }).collect();
        self.bring(&wants, urgency, cancel).await
    }

    /// Reads those of a layer's `experts` that are not on the GPU, as many as have room together. False if `cancel` ended it.
    ///
    /// # Errors
    /// A layer or an expert that the model does not have; what the feed or the GPU reports.
    pub async fn fetch(&mut self, layer: usize, experts: &[u32], urgency: Urgency, cancel: &Cancel) -> Result<bool, Error> {
        let n_layers = self.residency.len();
        if layer >= n_layers {
            return Err(Error::Option { name: "layer", expected: "a layer that has experts", got: layer.to_string() });
        }
        if let Some(expert) = experts.iter().find(|e| **e >= self.model.config.experts.n) {
            return Err(Error::Option { name: "expert", expected: "an expert of the layer", got: expert.to_string() });
        }
        self.bring(&[Want { layer, experts: experts.to_vec() }], urgency, cancel).await
    }

    /// Reads what is missing of `wants` into slots. False if `cancel` ended it.
    async fn bring(&mut self, wants: &[Want], urgency: Urgency, cancel: &Cancel) -> Result<bool, Error> {
        let mut uploads = Vec::new();
        let mut placed = Vec::new();
        for want in wants {
            let residency = &mut self.residency[want.layer];
            for &expert in &want.experts {
                if residency.has(expert) {
                    continue;
                }
                // No room: more is wanted than there are slots, which a later pass will come to.
                let Some(slot) = residency.make_room(expert, &want.experts) else { break };
                uploads.extend(self.model.expert_uploads(want.layer, expert, slot));
                placed.push((want.layer, expert, slot));
            }
            // Who gave up a slot is gone before anything is written to it.
            self.write_table(want.layer);
        }
        let mut expert_bytes = 0;
        let read = self.take_in(&uploads, urgency, cancel, &mut |bytes| expert_bytes += bytes).await;
        self.paging.expert_bytes += expert_bytes;
        for (layer, expert, slot) in placed {
            self.residency[layer].settle(expert, slot, matches!(read, Ok(true)));
        }
        wants.iter().for_each(|want| self.write_table(want.layer));
        read
    }

    fn write_table(&self, layer: usize) {
        self.write(self.model.state.paging.row(layer as u32), bytemuck::cast_slice(self.residency[layer].table()));
    }

    /// Submits a step that draws a token; its [`Report`] comes through the ring.
    pub(crate) fn submit_report(&mut self, encoder: wgpu::CommandEncoder, request: &Request<'_>) {
        let bytes = if request.sampling.n_logprobs == 0 { Sampled::BYTES_WITHOUT_LOGPROBS } else { size_of::<Sampled>() as u64 };
        let source = |slice: Slice, bytes| (self.buffer(slice).clone(), slice.offset, bytes);
        let mut sources = vec![source(self.model.state.sampler.sampled, bytes)];
        if self.needs_routes() {
            let routes_bytes = u64::from(self.model.config.experts.n_used) * size_of::<Route>() as u64;
            sources.extend(self.model.state.routes.iter().map(|routes| source(*routes, routes_bytes)));
        }
        self.ring.submit(&self.gpu, encoder, &sources);
        self.paging.passes += 1;
    }

    /// The oldest report under way.
    pub(crate) async fn next_report(&mut self, request: &Request<'_>) -> Result<Option<Report>, Error> {
        let Some(bytes) = self.ring.next(&self.gpu).await? else { return Ok(None) };
        let n = if request.sampling.n_logprobs == 0 { Sampled::BYTES_WITHOUT_LOGPROBS as usize } else { size_of::<Sampled>() };
        let (head, routes) = bytes.split_at(n.min(bytes.len()));
        let mut sampled: Sampled = bytemuck::Zeroable::zeroed();
        bytemuck::bytes_of_mut(&mut sampled)[..head.len()].copy_from_slice(head);
        Ok(Some(Report { sampled, routes: bytemuck::pod_collect_to_vec(routes) }))
    }

    /// Fetches what a decode step missed and runs it again from there, until nothing is missing. Nothing else may be under way.
    /// `None` if `cancel` ended it.
    pub(crate) async fn replay(
        &mut self,
        step: &Step,
        mut report: Report,
        request: &Request<'_>,
        cancel: &Cancel,
    ) -> Result<Option<Report>, Error> {
        let n_used = self.model.config.experts.n_used as usize;
        let mut brought = HashSet::new();
        while let Some(first) = report.first_miss() {
            // Exact for the first layer that missed, a prediction for those after it.
            let layers = report.routes.chunks(n_used).enumerate().skip(first);
            let wants: Vec<Want> =
                layers.map(|(layer, routes)| Want { layer, experts: routes.iter().map(|r| r.wanted).collect() }).collect();
            for want in &wants {
                let missing = want.experts.iter().filter(|e| !self.residency[want.layer].has(**e));
                brought.extend(missing.map(|e| (want.layer, *e)));
            }
            if !self.bring(&wants, Urgency::Demand, cancel).await? {
                return Ok(None);
            }
            let mut encoder = self.gpu.encoder();
            self.restore(&mut encoder);
            let cuts: &LayerCuts = &step.layers[first];
            step.prepared.encode_range(&mut encoder, &self.gpu, cuts.route..step.end);
            self.submit_report(encoder, request);
            report = self.next_report(request).await?.ok_or_else(|| Error::Gpu { why: "a step left no report".into() })?;
        }
        self.note(&report, &brought);
        Ok(Some(report))
    }

    /// Takes the residual stream back to where the first miss was.
    fn restore(&self, encoder: &mut wgpu::CommandEncoder) {
        let (saved, x) = (self.model.state.saved, self.model.state.x);
        let bytes = u64::from(self.model.config.n_embd) * 4;
        encoder.copy_buffer_to_buffer(self.buffer(saved), saved.offset, self.buffer(x), x.offset, bytes);
    }

    /// Counts a decoded token's choices; those of `brought` were misses.
    pub(crate) fn note(&mut self, report: &Report, brought: &HashSet<(usize, u32)>) {
        let n_used = self.model.config.experts.n_used as usize;
        for (layer, routes) in report.routes.chunks(n_used).enumerate() {
            for route in routes {
                match brought.contains(&(layer, route.wanted)) {
                    true => self.paging.misses += 1,
                    false => self.paging.hits += 1,
                }
            }
            self.used(layer, routes);
            self.watch(layer, routes, |expert| brought.contains(&(layer, expert)));
        }
    }

    /// One token's choices in one layer.
    fn used(&mut self, layer: usize, routes: &[Route]) {
        let chosen: Vec<Choice> = routes.iter().map(|r| Choice { expert: r.wanted, weight: r.weight }).collect();
        self.residency[layer].used(&chosen);
        self.paging.touched.extend(routes.iter().map(|r| (layer as u32, r.wanted)));
    }

    /// Runs a chunk of `n_tokens`, fetching each layer's experts in groups that fit; all but its end is submitted, the
    /// end is given back. `None` if `cancel` ended it.
    pub(crate) async fn layer_by_layer(
        &mut self,
        step: &Step,
        n_tokens: u32,
        cancel: &Cancel,
    ) -> Result<Option<wgpu::CommandEncoder>, Error> {
        let n_used = self.model.config.experts.n_used as usize;
        let routes_bytes = u64::from(n_tokens) * (n_used * size_of::<Route>()) as u64;
        let mut encoder = self.gpu.encoder();
        let mut next = 0;
        for (layer, cuts) in step.layers.iter().enumerate() {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            step.prepared.encode_range(&mut encoder, &self.gpu, next..cuts.experts);
            next = cuts.combine;
            let routes = self.model.state.routes[layer];
            self.ring.submit(&self.gpu, encoder, &[(self.buffer(routes).clone(), routes.offset, routes_bytes)]);
            let bytes = self.ring.next(&self.gpu).await?.unwrap_or_default();
            let routes: Vec<Route> = bytemuck::pod_collect_to_vec(&bytes);

            let mut wanted: Vec<u32> = routes.iter().map(|r| r.wanted).collect();
            wanted.sort_unstable();
            wanted.dedup();
            let (here, missing): (Vec<u32>, Vec<u32>) = wanted.into_iter().partition(|e| self.residency[layer].has(*e));
            self.paging.hits += here.len() as u64;
            self.paging.misses += missing.len() as u64;
            let mut unread: HashSet<u32> = missing.iter().copied().collect();
            for token in routes.chunks(n_used) {
                self.used(layer, token);
                self.watch(layer, token, |expert| unread.remove(&expert));
            }

            encoder = self.gpu.encoder();
            if !here.is_empty() {
                step.prepared.encode_range(&mut encoder, &self.gpu, cuts.experts..cuts.combine);
            }
            for group in missing.chunks(self.residency[layer].n_slots()) {
                // While these are read, the GPU works on those that were there.
                self.gpu.queue.submit([std::mem::replace(&mut encoder, self.gpu.encoder()).finish()]);
                let want = Want { layer, experts: group.to_vec() };
                if !self.bring(&[want], Urgency::Demand, cancel).await? {
                    return Ok(None);
                }
                step.prepared.encode_range(&mut encoder, &self.gpu, cuts.next_group.clone());
                step.prepared.encode_range(&mut encoder, &self.gpu, cuts.experts..cuts.combine);
            }
        }
        // Routers noted misses that were met here.
        self.write(self.model.state.paging.first_miss(), bytemuck::bytes_of(&Table::NO_MISS));
        step.prepared.encode_range(&mut encoder, &self.gpu, next..step.end);
        Ok(Some(encoder))
    }
}
