//! What a step that draws tokens leaves for the host.

use kernels::Slice;
use kernels::ops::{Alternatives, Paging as Table, Route, Sampled};

use crate::generate::Token;
use crate::resident::{Engine, StepKind};
use crate::{Error, SequenceId};

/// A step under way whose report comes through the ring.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) kind: StepKind,
    /// Whose rows it reports, before those of drafts.
    pub(crate) rows: Vec<SequenceId>,
    /// What was guessed of its one sequence's tokens after the next.
    pub(crate) drafts: Vec<u32>,
    /// That its sequences have at most.
    pub(crate) n_positions: u32,
    /// Whether somebody wants logprobs.
    pub(crate) has_alternatives: bool,
    /// Of a prompt's end rather than of a decode step.
    pub(crate) is_prompt: bool,
    /// Whether what routers chose comes along.
    pub(crate) has_routes: bool,
}

impl Flight {
    pub(crate) fn n_rows(&self) -> usize {
        self.rows.len() + self.drafts.len()
    }
}

/// What a step that draws tokens left behind, by rows.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sampled: Vec<Sampled>,
    alternatives: Vec<Alternatives>,
    /// `[n_layers, rows, n_used]`; nothing where all experts are resident and nobody asked.
    pub(crate) routes: Vec<Route>,
    /// Layers whose choices were not counted on the way.
    pub(crate) uncounted: usize,
}

impl Report {
    /// The layer to run from again.
    pub(crate) fn first_miss(&self) -> Option<usize> {
        self.sampled.iter().map(|sampled| sampled.first_miss).find(|layer| *layer != Table::NO_MISS).map(|layer| layer as usize)
    }

    /// `[rows, n_used]`
    pub(crate) fn routes_of(&self, layer: usize, n_layers: usize) -> &[Route] {
        let n = self.routes.len() / n_layers;
        &self.routes[layer * n..(layer + 1) * n]
    }

    pub(crate) fn token(&self, row: usize, n_logprobs: u32) -> Token {
        let Sampled { token, logprob, .. } = self.sampled[row];
        let top = self.alternatives.get(row).into_iter().flat_map(|found| found.ids.into_iter().zip(found.logprobs));
        Token { id: token, logprob, top: top.take(n_logprobs as usize).collect() }
    }
}

impl Engine {
    /// Submits a step that draws tokens.
    pub(crate) fn submit_report(&mut self, encoder: wgpu::CommandEncoder, flight: &Flight) {
        let n_rows = flight.n_rows() as u32;
        let source = |slice: Slice| (self.buffer(slice).clone(), slice.offset, slice.bytes);
        let [sampled, alternatives] = self.model.state.sampler.reported(n_rows);
        let mut sources = vec![source(sampled)];
        if flight.has_alternatives {
            sources.push(source(alternatives));
        }
        if flight.has_routes {
            let bytes = u64::from(n_rows * self.model.config.experts.n_used) * size_of::<Route>() as u64;
            sources.extend(self.model.state.routes.iter().map(|routes| source(Slice { bytes, ..*routes })));
        }
        self.ring.submit(&self.gpu, encoder, &sources);
        self.experts.count(|p| p.passes += 1);
    }

    /// The report of the oldest step under way, which is `flight`.
    pub(crate) async fn next_report(&mut self, flight: &Flight) -> Result<Report, Error> {
        let bytes = self.ring.next(&self.gpu).await?.ok_or_else(|| Error::Gpu { why: "a step left no report".into() })?;
        let n_rows = flight.n_rows();
        let (sampled, rest) = bytes.split_at((n_rows * size_of::<Sampled>()).min(bytes.len()));
        let n_found = if flight.has_alternatives { n_rows * size_of::<Alternatives>() } else { 0 };
        let (found, routes) = rest.split_at(n_found.min(rest.len()));
        let routes: Vec<Route> = bytemuck::pod_collect_to_vec(routes);
        let uncounted = if routes.is_empty() { 0 } else { self.model.layers.len() };
        Ok(Report { sampled: bytemuck::pod_collect_to_vec(sampled), alternatives: bytemuck::pod_collect_to_vec(found), routes, uncounted })
    }
}
