use super::sample_scan::{row_words, slices};
use super::{Pass, Sampler};
use crate::{Recording, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleBinsArgs {
    pub n_vocab: u32,
    pub slice: u32,
    pub n_slices: u32,
    pub n_words: u32,
    pub first_row: u32,
}

impl Recording {
    /// How many tokens and how much probability lie how far below the top; nothing is done where no filter asks.
    pub(crate) fn sample_bins(&mut self, n_vocab: u32, s: &Sampler, pass: Pass) {
        let (slice, n_slices) = slices(n_vocab);
        let args = SampleBinsArgs { n_vocab, slice, n_slices, n_words: row_words(n_vocab), first_row: pass.first_row() };
        self.dispatch(&kernels::F32_SAMPLE_BINS, &args, &[s.sampling, s.steps, s.scores, s.scan, s.bins], [n_slices, pass.n_drawn(), 1]);
    }
}
