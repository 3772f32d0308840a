// What the kernels that draw a token have in common: the order of scores, their noise, and what passes from
// one kernel to the next. A kernel has steps, samplings, scan, THREADS, and n_words among its args; it says first which
// row draws.

var<private> row: u32;
var<private> step: Step;

// A slice of the vocabulary at a glance.
struct Partial {
    score: Best,    // the best
    noisy: Best,    // the best with noise, if nothing is filtered
    top: f32,       // of the logits
    mass: f32,      // sum of exp(logit - top)
    rate: f32,      // bins for each unit of score
}

struct Best {
    score: f32,
    id: u32,
}

const PARTIAL: u32 = 8u + 2u * MAX_LOGPROBS;  // words of a Partial and its largest logits
const N_BINS: u32 = 1024u;
const BINS_EACH: f32 = 32.0;     // for each e-fold of probability below the top
const MASS_UNITS: f32 = 8192.0;  // of what the likeliest of a bin has; 2^32 / MASS_UNITS tokens fit
const NONE: u32 = 0xFFFFFFFFu;
const LEAST: f32 = -3.4e38;

// Where a slice begins in scan: n_words a row, [slices, PARTIAL], then [n_vocab] ids that may be drawn.
fn slice_at(slice: u32) -> u32 {
    return row * args.n_words + slice * PARTIAL;
}

fn partial(slice: u32) -> Partial {
    let at = slice_at(slice);
    return Partial(
        Best(bitcast<f32>(scan[at]), scan[at + 1u]),
        Best(bitcast<f32>(scan[at + 2u]), scan[at + 3u]),
        bitcast<f32>(scan[at + 4u]),
        bitcast<f32>(scan[at + 5u]),
        bitcast<f32>(scan[at + 6u]),
    );
}

// The n-th largest logit of a slice.
fn listed(slice: u32, n: u32) -> Best {
    let at = slice_at(slice) + 8u + 2u * n;
    return Best(bitcast<f32>(scan[at]), scan[at + 1u]);
}

// Whether temperature alone does not decide.
fn filters(sampling: Sampling) -> bool {
    return sampling.temperature > 0.0 && ((sampling.top_k > 0u && sampling.top_k < args.n_vocab) || sampling.top_p < 1.0 || sampling.min_p > 0.0);
}

// Monotonic in the float.
fn order(score: f32) -> u32 {
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

fn better(a: Best, b: Best) -> Best {
    if (b.score > a.score || (b.score == a.score && b.id < a.id)) {
        return b;
    }
    return a;
}

var<workgroup> bests: array<Best, THREADS>;
var<workgroup> sums: array<f32, THREADS>;

// Every thread gets the workgroup's best, the lower id among equals.
fn reduce_best(thread: u32, mine: Best) -> Best {
    bests[thread] = mine;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            bests[thread] = better(bests[thread], bests[thread + half]);
        }
        workgroupBarrier();
    }
    let best = bests[0];
    workgroupBarrier();
    return best;
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
