// How one sequence samples; written once, when its answer begins.
struct Sampling {
    temperature: f32,  // 0: greedy
    top_p: f32,        // 1: off
    min_p: f32,        // 0: off
    top_k: u32,        // 0: off
    repetition: f32,   // divides what was seen, prompt included; 1: off
    frequency: f32,    // off for each time a token was sampled
    presence: f32,     // off once for every sampled token
    n_logprobs: u32,   // alternatives to report, at most MAX_LOGPROBS
    n_stops: u32,
    is_masked: u32,    // 1: only ids that mask allows
    pad_a: u32,
    pad_b: u32,
    stops: array<vec4<u32>, 4>,  // token ids that end the answer
}

const MAX_LOGPROBS: u32 = 20u;

// In counts[token]: how often it was sampled, and this bit if it was in the prompt.
const IN_PROMPT: u32 = 0x80000000u;
