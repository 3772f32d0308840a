use super::Sampler;
use crate::{Recording, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct PenalizeArgs {
    pub n_vocab: u32,
}

/// The score of what a mask does not allow: below all others, finite whatever the temperature.
pub const MASKED: f32 = -1e35;

impl Recording {
    /// `scores = logits + bias` less the penalties that `sampling` sets for what `counts` has seen; all are `[n_vocab]`. If
    /// `sampling.is_masked`, what `mask` (`[n_vocab / 32]`, a bit an id) does not allow is [`MASKED`].
    pub fn penalize(&mut self, s: &Sampler, n_vocab: u32) {
        let bindings = [s.sampling, s.logits, s.bias, s.counts, s.mask, s.scores];
        self.dispatch(&kernels::F32_PENALIZE, &PenalizeArgs { n_vocab }, &bindings, [n_vocab.div_ceil(64), 1, 1]);
    }
}
