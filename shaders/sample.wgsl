// Samples the next token and advances the step, by one workgroup. Temperature first, then top-k,
// top-p over what top-k left, min-p; a threshold on the score stands for each filter, found bit by bit
// on the scores' order, so nothing is sorted. The draw is the largest score plus Gumbel noise, which
// has the softmax's own distribution. Equal scores go to the lower id. A pass that missed an expert
// changes nothing: it says which layer missed, and the next pass begins with a clean slate.

const THREADS: u32 = 256u;

struct Args {
    n_vocab: u32,
    n_tokens: u32,  // of this step: the position advances by so many
}

#import step
#import sampling
#import paging

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

var<workgroup> best_score: array<f32, THREADS>;
var<workgroup> best_id: array<u32, THREADS>;
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> tally: array<u32, THREADS>;

// Monotonic in the float.
fn key(score: f32) -> u32 {
    let bits = bitcast<u32>(score);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// PCG, three rounds over (seed, draw, id); uniform in (0, 1).
fn uniform_01(id: u32) -> f32 {
    var state = step.seed;
    var word = 0u;
    for (var i = 0u; i < 3u; i++) {
        state = (state ^ select(select(id, step.n_sampled, i == 1u), 0x9E3779B9u, i == 0u)) * 747796405u + 2891336453u;
        word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
        state = (word >> 22u) ^ word;
    }
    return (f32(state) + 0.5) * 2.3283064e-10;
}

// -ln(-ln u) with u near 1 kept precise: the complement of u is drawn.
fn gumbel(id: u32) -> f32 {
    let v = min(uniform_01(id), 0.99999994);
    let exponential = select(-log(1.0 - v), v + 0.5 * v * v, v < 0.001);
    return -log(exponential);
}

// Every thread gets the workgroup's best (score, id), the lower id among equals.
fn reduce_best(thread: u32, score: f32, id: u32) -> u32 {
    best_score[thread] = score;
    best_id[thread] = id;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            let other = thread + half;
            if (best_score[other] > best_score[thread] || (best_score[other] == best_score[thread] && best_id[other] < best_id[thread])) {
                best_score[thread] = best_score[other];
                best_id[thread] = best_id[other];
            }
        }
        workgroupBarrier();
    }
    let id_of_best = best_id[0];
    workgroupBarrier();
    return id_of_best;
}

fn reduce_sum(thread: u32, value: f32) -> f32 {
    sums[thread] = value;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            sums[thread] += sums[thread + half];
        }
        workgroupBarrier();
    }
    let total = sums[0];
    workgroupBarrier();
    return total;
}

fn argmax_of_logits(thread: u32, below: u32, after: u32) -> u32 {
    var score = -3.4e38;
    var id = 0xFFFFFFFFu;
    for (var i = thread; i < args.n_vocab; i += THREADS) {
        let k = key(logits[i]);
        let is_left = k < below || (k == below && i > after);
        if (is_left && (logits[i] > score || id == 0xFFFFFFFFu)) {
            score = logits[i];
            id = i;
        }
    }
    return reduce_best(thread, score, id);
}

fn argmax_of_scores(thread: u32) -> u32 {
    var score = -3.4e38;
    var id = 0xFFFFFFFFu;
    for (var i = thread; i < args.n_vocab; i += THREADS) {
        if (scores[i] > score) {
            score = scores[i];
            id = i;
        }
    }
    return reduce_best(thread, score, id);
}

// How many scores have a key of at least `least`.
fn count_from(thread: u32, least: u32) -> u32 {
    var n = 0u;
    for (var i = thread; i < args.n_vocab; i += THREADS) {
        n += u32(key(scores[i]) >= least);
    }
    tally[thread] = n;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            tally[thread] += tally[thread + half];
        }
        workgroupBarrier();
    }
    let total = tally[0];
    workgroupBarrier();
    return total;
}

// Their share, unnormalised: exp((score - top) / temperature).
fn mass_from(thread: u32, least: u32, top: f32) -> f32 {
    var mass = 0.0;
    for (var i = thread; i < args.n_vocab; i += THREADS) {
        if (key(scores[i]) >= least) {
            mass += exp((scores[i] - top) / sampling.temperature);
        }
    }
    return reduce_sum(thread, mass);
}

// The least key that top-k, top-p and min-p leave.
fn threshold(thread: u32, top: f32) -> u32 {
    var least = 0u;
    if (sampling.top_k > 0u && sampling.top_k < args.n_vocab) {
        for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
            if (count_from(thread, least | bit) >= sampling.top_k) {
                least |= bit;
            }
        }
    }
    if (sampling.top_p < 1.0) {
        let enough = sampling.top_p * mass_from(thread, least, top);
        var nucleus = 0u;
        for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
            if (mass_from(thread, nucleus | bit, top) >= enough) {
                nucleus |= bit;
            }
        }
        least = max(least, nucleus);
    }
    if (sampling.min_p > 0.0) {
        least = max(least, key(top + sampling.temperature * log(sampling.min_p)));
    }
    return min(least, key(top));
}

fn draw(thread: u32) -> u32 {
    let greedy = argmax_of_scores(thread);
    if (sampling.temperature == 0.0) {
        return greedy;
    }
    let top = scores[greedy];
    let least = threshold(thread, top);
    var score = -3.4e38;
    var id = 0xFFFFFFFFu;
    for (var i = thread; i < args.n_vocab; i += THREADS) {
        if (key(scores[i]) >= least) {
            let noisy = (scores[i] - top) / sampling.temperature + gumbel(i);
            if (noisy > score) {
                score = noisy;
                id = i;
            }
        }
    }
    return reduce_best(thread, score, id);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    let first_miss = atomicLoad(&paging.first_miss);
    let is_taken = thread == 0u && step.halt == 0u && first_miss == NO_MISS;
    let token = draw(thread);

    // Logprobs are the model's own: of the logits as they came.
    let first = argmax_of_logits(thread, 0xFFFFFFFFu, 0u);
    let top = logits[first];
    var mass = 0.0;
    for (var i = thread; i < args.n_vocab; i += THREADS) {
        mass += exp(logits[i] - top);
    }
    let log_total = top + log(reduce_sum(thread, mass));
    var next = first;
    for (var n = 0u; n < min(sampling.n_logprobs, MAX_LOGPROBS); n++) {
        if (is_taken) {
            sampled.ids[n] = next;
            sampled.logprobs[n] = logits[next] - log_total;
        }
        next = argmax_of_logits(thread, key(logits[next]), next);
        workgroupBarrier();
    }

    if (thread == 0u) {
        sampled.first_miss = first_miss;
        atomicStore(&paging.first_miss, NO_MISS);
    }
    if (is_taken) {
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
