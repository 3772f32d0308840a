use super::Sampler;
use super::sample_scan::slices;
use crate::{Recording, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleBinsArgs {
    pub n_vocab: u32,
    pub slice: u32,
    pub n_slices: u32,
}

impl Recording {
    /// How many tokens and how much probability lie how far below the top; nothing is done where no filter asks.
    pub(crate) fn sample_bins(&mut self, n_vocab: u32, s: &Sampler) {
        let (slice, n_slices) = slices(n_vocab);
        let args = SampleBinsArgs { n_vocab, slice, n_slices };
        self.dispatch(&kernels::F32_SAMPLE_BINS, &args, &[s.sampling, s.step, s.scores, s.scan], [n_slices, 1, 1]);
    }
}
