use super::{MAX_LOGPROBS, Sampler};
use crate::{Recording, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleScanArgs {
    pub n_vocab: u32,
    pub slice: u32,
}

const MAX_SLICES: u32 = 128;
/// Of probability, the likeliest first. WGSL's `Scan` begins with as many tallies and masses.
pub(crate) const N_BINS: u32 = 1024;
/// Words that a slice has after these; the candidates follow.
pub(crate) const PARTIAL: u32 = 8 + 2 * MAX_LOGPROBS as u32;

/// Words of WGSL's `Scan`.
pub(crate) fn scan_words(n_vocab: u32) -> u32 {
    2 * N_BINS + PARTIAL * slices(n_vocab).1 + n_vocab
}

/// Ids a workgroup looks at, and how many workgroups that makes.
pub(crate) fn slices(n_vocab: u32) -> (u32, u32) {
    let slice = n_vocab.div_ceil(MAX_SLICES).max(2048);
    (slice, n_vocab.div_ceil(slice))
}

impl Recording {
    /// What `scores` and `logits` have in each slice of the vocabulary.
    pub(crate) fn sample_scan(&mut self, n_vocab: u32, s: &Sampler) {
        let (slice, n_slices) = slices(n_vocab);
        let bindings = [s.sampling, s.step, s.logits, s.scores, s.scan];
        self.dispatch(&kernels::F32_SAMPLE_SCAN, &SampleScanArgs { n_vocab, slice }, &bindings, [n_slices, 1, 1]);
    }
}
