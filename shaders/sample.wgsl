// Draws each row's next token from what sample_scan and sample_bins found, and advances its step, by one workgroup.
// Temperature first, then top-k, top-p over what top-k left, min-p; a threshold on the score stands for each
// filter. The draw is the largest score plus Gumbel noise, which has the softmax's own distribution. Equal
// scores go to the lower id. A pass that missed an expert changes nothing: it says which layer missed, and so do all
// after it until the host says that it is there.

const THREADS: u32 = 256u;

struct Args {
    n_vocab: u32,
    n_slices: u32,
    n_tokens: u32,  // of this step and sequence: its position advances by so many
    n_words: u32,   // a row has in scan
    first_row: u32, // of the step
}

#import step
#import sampling
#import paging
#import draw
#import bins

// What the host reads of a row.
struct Sampled {
    token: u32,
    n_sampled: u32,  // which one this is, from 1; as before if the step was past a halt or missed
    halt: u32,
    logprob: f32,    // of token, before penalties and temperature
    first_miss: u32, // the first layer that missed an expert, or NO_MISS
    pad_a: u32,
    pad_b: u32,
    pad_c: u32,
}

// And if it wants logprobs.
struct Alternatives {
    ids: array<u32, MAX_LOGPROBS>,
    logprobs: array<f32, MAX_LOGPROBS>,
}

struct Report {
    sampled: array<Sampled, MAX_SEQUENCES>,
    alternatives: array<Alternatives, MAX_SEQUENCES>,
}

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> samplings: array<Sampling, MAX_SEQUENCES>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;  // [rows, n_vocab]
@group(0) @binding(3) var<storage, read> scores: array<f32>;  // [rows, n_vocab]
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;  // [n_sequences, n_vocab]
@group(0) @binding(5) var<storage, read_write> steps: Steps;
@group(0) @binding(6) var<storage, read_write> report: Report;
@group(0) @binding(7) var<storage, read_write> paging: Paging;
@group(0) @binding(8) var<storage, read_write> scan: array<u32>;
@group(0) @binding(9) var<storage, read_write> bins: array<atomic<u32>>;

#import filters

// Whose row it is, where its step is, and what becomes of it.
var<workgroup> speaker: u32;
var<workgroup> drawing: u32;
var<workgroup> outcome: u32;

const HALTED: u32 = 0u;
const MISSED: u32 = 1u;
const DRAWN: u32 = 2u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    row = group.x;
    if (thread == 0u) {
        let at = step_of(row);
        let first_miss = atomicLoad(&paging.first_miss);
        report.sampled[row].n_sampled = steps.each[at].n_sampled;
        report.sampled[row].halt = steps.each[at].halt;
        report.sampled[row].first_miss = first_miss;
        speaker = sequence_of(row);
        drawing = at;
        outcome = select(select(DRAWN, MISSED, first_miss != NO_MISS), HALTED, steps.each[at].halt != 0u);
    }
    let sequence = workgroupUniformLoad(&speaker);
    let at = workgroupUniformLoad(&drawing);
    let what = workgroupUniformLoad(&outcome);
    if (what == HALTED) {
        return;
    }
    step = steps.each[at];
    let sampling = samplings[sequence];
    if (what == DRAWN) {
        take(thread, at, sequence, sampling);
    }
    if (filters(sampling)) {
        for (var bin = thread; bin < N_BINS; bin += THREADS) {
            atomicStore(&bins[tally_at(bin)], 0u);
            atomicStore(&bins[mass_at(bin)], 0u);
        }
    }
}

// Draws a token, says so, and advances the step.
fn take(thread: u32, at: u32, sequence: u32, sampling: Sampling) {
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
    if (filters(sampling)) {
        token = draw_filtered(thread, score.score, sampling);
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
            report.alternatives[row].ids[n] = next.id;
            report.alternatives[row].logprobs[n] = next.score - log_total;
        }
    }
    if (thread == 0u) {
        step.n_sampled += 1u;
        step.position += args.n_tokens;
        step.token = token;
        step.halt = u32(step.n_sampled == step.most);
        for (var i = 0u; i < sampling.n_stops; i++) {
            if (sampling.stops[i / 4u][i % 4u] == token) {
                step.halt = 1u;
            }
        }
        steps.each[at] = step;
        // Drafts are not counted: where counts matter there are none. Nor is it where no logit is a number.
        if (at == sequence && token < args.n_vocab) {
            counts[sequence * args.n_vocab + token] += 1u;
        }
        report.sampled[row].token = token;
        report.sampled[row].n_sampled = step.n_sampled;
        report.sampled[row].halt = step.halt;
        report.sampled[row].logprob = logits[row * args.n_vocab + token] - log_total;
    }
}
