use super::{Pass, Sampler};
use crate::{Recording, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct PenalizeArgs {
    pub n_vocab: u32,
    pub first_row: u32,
}

/// The score of what a mask does not allow: below all others, finite whatever the temperature.
pub const MASKED: f32 = -1e35;

impl Recording {
    /// `scores = logits + bias` less the penalties that a row's sequence sets for what its `counts` have seen. If it
    /// `is_masked`, what its `mask` does not allow is [`MASKED`].
    pub fn penalize(&mut self, s: &Sampler, n_vocab: u32, pass: Pass) {
        let bindings = [s.sampling, s.logits, s.bias, s.counts, s.mask, s.scores, s.steps];
        let args = PenalizeArgs { n_vocab, first_row: pass.first_row() };
        self.dispatch(&kernels::F32_PENALIZE, &args, &bindings, [n_vocab.div_ceil(64), pass.n_drawn(), 1]);
    }
}
