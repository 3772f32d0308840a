use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct PenalizeArgs {
    pub n_vocab: u32,
}

impl Recording {
    /// `scores = logits + bias` less the penalties that `sampling` sets for what `counts` has seen;
    /// all are `[n_vocab]`.
    pub fn penalize(&mut self, n_vocab: u32, sampling: Slice, logits: Slice, bias: Slice, counts: Slice, scores: Slice) {
        let bindings = [sampling, logits, bias, counts, scores];
        self.dispatch(&kernels::F32_PENALIZE, &PenalizeArgs { n_vocab }, &bindings, [n_vocab.div_ceil(64), 1, 1]);
    }
}
