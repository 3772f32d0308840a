// What each id of a row scores, and what is to be known of all of them, a slice of the vocabulary a workgroup: the best score,
// the best with noise, the logits' softmax sum, and the largest logits if they are to be reported.
//   score = logit + bias, with the repetition, frequency and presence penalties for what counts has seen
// bias carries logit_bias and, at -1e30, the ids that must never be sampled. A request whose form is constrained has a mask, too:
// what it does not allow loses to all that it allows, whatever their bias.

#ifdef WIDE
const THREADS: u32 = 256u;
#else
const THREADS: u32 = 32u;  // a software adapter has few to wait for at a barrier
#endif

const MASKED: f32 = -1e35;

struct Args {
    n_vocab: u32,
    slice: u32,      // ids a workgroup
    n_words: u32,    // a row has in scan
    first_row: u32,  // of the step
}

#import step
#import sampling
#import draw

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> samplings: array<Sampling, MAX_SEQUENCES>;
@group(0) @binding(2) var<uniform> steps: Steps;
@group(0) @binding(3) var<storage, read> logits: array<f32>;  // [rows, n_vocab]
@group(0) @binding(4) var<storage, read> bias: array<f32>;    // [n_sequences, n_vocab]
@group(0) @binding(5) var<storage, read> counts: array<u32>;  // [n_sequences, n_vocab]
@group(0) @binding(6) var<storage, read> mask: array<u32>;    // [n_sequences, n_vocab / 32], bit id % 32: whether id is allowed
@group(0) @binding(7) var<storage, read_write> scores: array<f32>;  // [rows, n_vocab]
@group(0) @binding(8) var<storage, read_write> scan: array<u32>;

fn score_of(logit: f32, id: u32, sequence: u32, sampling: Sampling) -> f32 {
    var score = logit;
    let at = sequence * args.n_vocab + id;
    let count = counts[at];
    if (count != 0u) {
        score = select(score * sampling.repetition, score / sampling.repetition, score > 0.0);
        let sampled = count & ~IN_PROMPT;
        if (sampled != 0u) {
            score -= sampling.frequency * f32(sampled) + sampling.presence;
        }
    }
    let allowed = sequence * ((args.n_vocab + 31u) / 32u) + id / 32u;
    if (sampling.is_masked != 0u && ((mask[allowed] >> (id % 32u)) & 1u) == 0u) {
        return MASKED;
    }
    return score + bias[at];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let whose = step_of(group.y);
    if (steps.each[whose].halt != 0u) {
        return;
    }
    row = group.y;
    step = steps.each[whose];
    let sequence = sequence_of(group.y);
    let sampling = samplings[sequence];
    let ids = group.y * args.n_vocab;
    let first = group.x * args.slice;
    let end = min(first + args.slice, args.n_vocab);
    let is_noisy = sampling.temperature > 0.0 && !filters(sampling);
    var score = Best(LEAST, NONE);
    var noisy = Best(LEAST, NONE);
    var logit = Best(LEAST, NONE);
    for (var i = first + thread; i < end; i += THREADS) {
        let value = score_of(logits[ids + i], i, sequence, sampling);
        scores[ids + i] = value;
        score = better(score, Best(value, i));
        logit = better(logit, Best(logits[ids + i], i));
        if (is_noisy) {
            noisy = better(noisy, Best(value / sampling.temperature + gumbel(i), i));
        }
    }
    score = reduce_best(thread, score);
    logit = reduce_best(thread, logit);
    if (is_noisy) {
        noisy = reduce_best(thread, noisy);
    }
    var mass = 0.0;
    for (var i = first + thread; i < end; i += THREADS) {
        mass += exp(logits[ids + i] - logit.score);
    }
    mass = reduce_sum(thread, mass);
    let at = slice_at(group.x);
    if (thread == 0u) {
        scan[at] = bitcast<u32>(score.score);
        scan[at + 1u] = score.id;
        scan[at + 2u] = bitcast<u32>(noisy.score);
        scan[at + 3u] = noisy.id;
        scan[at + 4u] = bitcast<u32>(logit.score);
        scan[at + 5u] = bitcast<u32>(mass);
        scan[at + 6u] = bitcast<u32>(min(BINS_EACH / sampling.temperature, 1e30));
    }
    for (var n = 0u; n < min(sampling.n_logprobs, MAX_LOGPROBS); n++) {
        if (thread == 0u) {
            scan[at + 8u + 2u * n] = bitcast<u32>(logit.score);
            scan[at + 9u + 2u * n] = logit.id;
        }
        // The next one in order.
        var next = Best(LEAST, NONE);
        for (var i = first + thread; i < end; i += THREADS) {
            let v = logits[ids + i];
            if (v < logit.score || (v == logit.score && i > logit.id)) {
                next = better(next, Best(v, i));
            }
        }
        logit = reduce_best(thread, next);
    }
}
