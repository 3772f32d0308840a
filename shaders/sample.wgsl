// Draws the next token from what sample_scan and sample_bins found, and advances the step, by one workgroup.
// Temperature first, then top-k, top-p over what top-k left, min-p; a threshold on the score stands for each
// filter. The draw is the largest score plus Gumbel noise, which has the softmax's own distribution. Equal
// scores go to the lower id. A pass that missed an expert changes nothing: it says which layer missed, and the
// next begins with a clean slate.

const THREADS: u32 = 256u;

struct Args {
    n_vocab: u32,
    n_slices: u32,
    n_tokens: u32,  // of this step: the position advances by so many
}

#import step
#import sampling
#import paging
#import draw
#import bins

// What the host reads of a step; without logprobs it is the first 32 bytes.
struct Sampled {
    token: u32,
    n_sampled: u32,  // which one this is, from 1; unchanged if the step was past a halt or missed
    halt: u32,
    logprob: f32,    // of token, before penalties and temperature
    first_miss: u32, // the first layer that missed an expert, or NO_MISS
    pad_a: u32,
    pad_b: u32,
    pad_c: u32,
    ids: array<u32, MAX_LOGPROBS>,
    logprobs: array<f32, MAX_LOGPROBS>,
}

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> sampling: Sampling;
@group(0) @binding(2) var<storage, read> logits: array<f32>;  // [n_vocab]
@group(0) @binding(3) var<storage, read> scores: array<f32>;  // [n_vocab]
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;  // [n_vocab]
@group(0) @binding(5) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(6) var<storage, read_write> step: Step;
@group(0) @binding(7) var<storage, read_write> sampled: Sampled;
@group(0) @binding(8) var<storage, read_write> paging: Paging;
@group(0) @binding(9) var<storage, read_write> scan: Scan;

#import filters

var<workgroup> is_drawn: u32;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    let first_miss = atomicLoad(&paging.first_miss);
    if (thread == 0u) {
        is_drawn = u32(step.halt == 0u && first_miss == NO_MISS);
    }
    workgroupBarrier();
    if (thread == 0u) {
        sampled.first_miss = first_miss;
        atomicStore(&paging.first_miss, NO_MISS);
    }
    if (workgroupUniformLoad(&is_drawn) == 1u) {
        take(thread);
    }
    if (filters()) {
        for (var bin = thread; bin < N_BINS; bin += THREADS) {
            atomicStore(&scan.tallies[bin], 0u);
            atomicStore(&scan.masses[bin], 0u);
        }
    }
}

// Draws a token, says so, and advances the step.
fn take(thread: u32) {
    var score = Best(LEAST, NONE);
    var noisy = Best(LEAST, NONE);
    var logit = Best(LEAST, NONE);
    if (thread < args.n_slices) {
        let mine = partial(thread);
        score = mine.score;
        noisy = mine.noisy;
        logit = Best(mine.top, thread);
    }
    score = reduce_best(thread, score);
    var token = score.id;
    if (filters()) {
        token = draw_filtered(thread, score.score);
    } else if (sampling.temperature > 0.0) {
        token = reduce_best(thread, noisy).id;
    }

    // Logprobs are the model's own: of the logits as they came.
    let top = reduce_best(thread, logit).score;
    var mass = 0.0;
    if (thread < args.n_slices) {
        mass = partial(thread).mass * exp(logit.score - top);
    }
    let log_total = top + log(reduce_sum(thread, mass));
    // The slices' lists, each in order, are merged.
    var n_taken = 0u;
    for (var n = 0u; n < min(min(sampling.n_logprobs, MAX_LOGPROBS), args.n_vocab); n++) {
        var mine = Best(LEAST, NONE);
        if (thread < args.n_slices && n_taken < MAX_LOGPROBS) {
            mine = listed(thread, n_taken);
        }
        let next = reduce_best(thread, mine);
        n_taken += u32(next.id == mine.id);
        if (thread == 0u) {
            sampled.ids[n] = next.id;
            sampled.logprobs[n] = next.score - log_total;
        }
    }
    if (thread == 0u) {
        for (var i = 0u; i < sampling.n_stops; i++) {
            if (sampling.stops[i / 4u][i % 4u] == token) {
                step.halt = 1u;
            }
        }
        step.n_sampled += 1u;
        step.position += args.n_tokens;
        tokens[0] = token;
        counts[token] += 1u;
        sampled.token = token;
        sampled.n_sampled = step.n_sampled;
        sampled.halt = step.halt;
        sampled.logprob = logits[token] - log_total;
    }
}
