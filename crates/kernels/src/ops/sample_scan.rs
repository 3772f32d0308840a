use super::{MAX_LOGPROBS, Pass, Sampler};
use crate::{Recording, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleScanArgs {
    pub n_vocab: u32,
    pub slice: u32,
    pub n_words: u32,
    pub first_row: u32,
}

/// The score of what a mask does not allow: below all others, finite whatever the temperature.
pub const MASKED: f32 = -1e35;

const MAX_SLICES: u32 = 128;
/// Of probability, the likeliest first: as many tallies and masses a row.
pub(crate) const N_BINS: u32 = 1024;
/// Words of a slice; the candidates follow all of them.
pub(crate) const PARTIAL: u32 = 8 + 2 * MAX_LOGPROBS as u32;

/// Words that a row has in `scan`.
pub(crate) fn row_words(n_vocab: u32) -> u32 {
    PARTIAL * slices(n_vocab).1 + n_vocab
}

/// Ids a workgroup looks at, and how many workgroups that makes.
pub(crate) fn slices(n_vocab: u32) -> (u32, u32) {
    let slice = n_vocab.div_ceil(MAX_SLICES).max(2048);
    (slice, n_vocab.div_ceil(slice))
}

impl Recording {
    /// `scores = logits + bias` less the penalties that a row's sequence sets for what its `counts` have seen; if it
    /// `is_masked`, what its `mask` does not allow is [`MASKED`]. And what `scores` and `logits` have in each slice of the vocabulary.
    pub(crate) fn sample_scan(&mut self, n_vocab: u32, s: &Sampler, pass: Pass) {
        let (slice, n_slices) = slices(n_vocab);
        let bindings = [s.sampling, s.steps, s.logits, s.bias, s.counts, s.mask, s.scores, s.scan];
        let args = SampleScanArgs { n_vocab, slice, n_words: row_words(n_vocab), first_row: pass.first_row() };
        self.dispatch(&kernels::F32_SAMPLE_SCAN, &args, &bindings, [n_slices, pass.n_drawn(), 1]);
    }
}
