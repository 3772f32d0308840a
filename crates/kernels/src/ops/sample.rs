use super::Paging;
use super::sample_scan::{scan_words, slices};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleArgs {
    pub n_vocab: u32,
    pub n_slices: u32,
    pub n_tokens: u32,
}

/// What advances from step to step without the CPU; WGSL's `Step`.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// Of the first token of the step in its sequence.
    pub position: u32,
    /// Tokens sampled since the prompt.
    pub n_sampled: u32,
    /// 1 once a stop token was sampled; later steps change nothing.
    pub halt: u32,
    pub seed: u32,
}

/// How one request samples; WGSL's `Sampling`.
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

/// What the host reads of a step; WGSL's `Sampled`.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Sampled {
    pub token: u32,
    /// Which token since the prompt this is, from 1; unchanged if the step was past a halt or
    /// missed an expert.
    pub n_sampled: u32,
    pub halt: u32,
    /// Of `token`, before penalties and temperature.
    pub logprob: f32,
    /// The first layer that missed an expert, so that nothing was sampled; or [`Paging::NO_MISS`].
    pub first_miss: u32,
    pub pad: [u32; 3],
    pub ids: [u32; MAX_LOGPROBS],
    pub logprobs: [f32; MAX_LOGPROBS],
}

impl Sampled {
    /// Bytes that say all if no alternatives were asked for.
    pub const BYTES_WITHOUT_LOGPROBS: u64 = 32;
}

/// The buffers that sampling works on.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// [`Sampling`]
    pub sampling: Slice,
    /// `[n_vocab]`
    pub logits: Slice,
    /// `[n_vocab]`
    pub bias: Slice,
    /// `[n_vocab / 32]`, u32: bit `id % 32` of word `id / 32` says whether `id` may be sampled.
    pub mask: Slice,
    /// `[n_vocab]`
    pub scores: Slice,
    /// `[n_vocab]`, u32
    pub counts: Slice,
    /// Of the next step.
    pub tokens: Slice,
    /// [`Step`]
    pub step: Slice,
    /// [`Sampled`]
    pub sampled: Slice,
    /// What passes between the kernels, of [`Sampler::scan_bytes`]; zero before the first step.
    pub scan: Slice,
    pub paging: Paging,
}

impl Sampler {
    /// Bytes of `scan`.
    pub fn scan_bytes(n_vocab: u32) -> u64 {
        u64::from(scan_words(n_vocab)) * 4
    }
}

impl Recording {
    /// Draws the token after a step of `n_tokens` from `scores` and advances the step, unless a layer missed an
    /// expert: then it only says so. Either way `paging.first_miss` is reset.
    pub fn sample(&mut self, n_vocab: u32, s: &Sampler, n_tokens: u32) {
        self.sample_scan(n_vocab, s);
        self.sample_bins(n_vocab, s);
        let bindings = [s.sampling, s.logits, s.scores, s.counts, s.tokens, s.step, s.sampled, s.paging.whole, s.scan];
        let args = SampleArgs { n_vocab, n_slices: slices(n_vocab).1, n_tokens };
        self.dispatch(&kernels::F32_SAMPLE, &args, &bindings, [1, 1, 1]);
    }
}
