use super::sample_scan::{N_BINS, row_words, slices};
use super::{MAX_SEQUENCES, Paging, Pass};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleArgs {
    pub n_vocab: u32,
    pub n_slices: u32,
    pub n_tokens: u32,
    pub n_words: u32,
    pub first_row: u32,
}

/// How one sequence samples; WGSL's `Sampling`.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Sampling {
    /// 0: greedy.
    pub temperature: f32,
    /// 1: off.
    pub top_p: f32,
    /// 0: off.
    pub min_p: f32,
    /// 0: off.
    pub top_k: u32,
    /// Divides what was seen, prompt included; 1: off.
    pub repetition: f32,
    /// Off for each time a token was sampled.
    pub frequency: f32,
    /// Off once for every sampled token.
    pub presence: f32,
    /// Alternatives to report, at most [`MAX_LOGPROBS`].
    pub n_logprobs: u32,
    pub n_stops: u32,
    /// 1: only ids that the mask allows.
    pub is_masked: u32,
    pub pad: [u32; 2],
    pub stops: [u32; MAX_STOPS],
}

/// Alternatives that a step can report.
pub const MAX_LOGPROBS: usize = 20;
/// Token ids that can end an answer on the GPU.
pub const MAX_STOPS: usize = 16;
/// In `counts[token]`: set if the token was in the prompt; the rest counts how often it was sampled.
pub const IN_PROMPT: u32 = 1 << 31;

/// What the host reads of a row; WGSL's `Sampled`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Sampled {
    pub token: u32,
    /// Which token since the prompt this is, from 1; as before if the step was past a halt or
    /// missed an expert.
    pub n_sampled: u32,
    pub halt: u32,
    /// Of `token`, before penalties and temperature.
    pub logprob: f32,
    /// The first layer that missed an expert, so that nothing was sampled; or [`Paging::NO_MISS`].
    pub first_miss: u32,
    pub pad: [u32; 3],
}

/// And if it wants logprobs; WGSL's `Alternatives`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Alternatives {
    pub ids: [u32; MAX_LOGPROBS],
    pub logprobs: [f32; MAX_LOGPROBS],
}

/// The buffers that sampling works on.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// `[MAX_SEQUENCES]` [`Sampling`]
    pub sampling: Slice,
    /// `[rows, n_vocab]`
    pub logits: Slice,
    /// `[n_sequences, n_vocab]`
    pub bias: Slice,
    /// `[n_sequences, n_vocab / 32]`, u32: bit `id % 32` of word `id / 32` says whether `id` may be sampled.
    pub mask: Slice,
    /// `[rows, n_vocab]`
    pub scores: Slice,
    /// `[n_sequences, n_vocab]`, u32
    pub counts: Slice,
    /// [`super::Steps`]
    pub steps: Slice,
    /// `[MAX_SEQUENCES]` [`Sampled`] by rows, then as many [`Alternatives`]
    pub report: Slice,
    /// What passes between the kernels, of [`Sampler::scan_bytes`].
    pub scan: Slice,
    /// And of [`Sampler::bins_bytes`]; zero before the first step.
    pub bins: Slice,
    pub paging: Paging,
}

impl Sampler {
    /// Bytes of `report`.
    pub const REPORT_BYTES: u64 = (MAX_SEQUENCES * (size_of::<Sampled>() + size_of::<Alternatives>())) as u64;

    /// Bytes of `scan` for so many rows.
    pub fn scan_bytes(n_vocab: u32, n_rows: u32) -> u64 {
        4 * u64::from(n_rows) * u64::from(row_words(n_vocab))
    }

    /// Bytes of `bins` for so many rows.
    pub fn bins_bytes(n_rows: u32) -> u64 {
        4 * u64::from(n_rows) * u64::from(2 * N_BINS)
    }

    /// The first `n` rows' part of `report`: [`Sampled`], and [`Alternatives`].
    pub fn reported(&self, n: u32) -> [Slice; 2] {
        let Slice { buffer, offset, .. } = self.report;
        let bytes = |of: usize| u64::from(n) * of as u64;
        [
            Slice { buffer, offset, bytes: bytes(size_of::<Sampled>()) },
            Slice { buffer, offset: offset + (MAX_SEQUENCES * size_of::<Sampled>()) as u64, bytes: bytes(size_of::<Alternatives>()) },
        ]
    }

    /// What a sequence has of `[n_sequences, n_each]` elements of `element_bytes`; to write, not to bind.
    pub fn of_sequence(all: Slice, sequence: u32, n_each: u32, element_bytes: u64) -> Slice {
        let bytes = u64::from(n_each) * element_bytes;
        Slice { offset: all.offset + u64::from(sequence) * bytes, bytes, ..all }
    }
}

impl Recording {
    /// Draws the token after a step from each row's `scores` and advances its sequence, unless a layer missed an
    /// expert: then it only says so, as long as `paging.first_miss` does.
    pub fn sample(&mut self, n_vocab: u32, s: &Sampler, pass: Pass) {
        self.sample_scan(n_vocab, s, pass);
        self.sample_bins(n_vocab, s, pass);
        let bindings = [s.sampling, s.logits, s.scores, s.counts, s.steps, s.report, s.paging.whole, s.scan, s.bins];
        let args = SampleArgs {
            n_vocab,
            n_slices: slices(n_vocab).1,
            n_tokens: pass.tokens_each(),
            n_words: row_words(n_vocab),
            first_row: pass.first_row(),
        };
        self.dispatch(&kernels::F32_SAMPLE, &args, &bindings, [pass.n_drawn(), 1, 1]);
    }
}
