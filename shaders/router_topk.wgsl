// h = rms(x) * gain; r = Wr h + br; the n_used largest r, softmax over these alone, and the slot of
// each chosen expert. One workgroup a token, LANES threads an expert. A layer that misses an expert is
// noted, and its residual stream is saved, so that the pass can be taken up again from here: every layer
// saves its x while none before it has missed. A row whose sequence has halted chooses nobody. In such a pass only the choices of later layers are of use, as a
// prediction: there the best experts that have slots may stand in for those that have none.
// Ties go to the lower index. Top-k by one thread: n_used * n_experts comparisons.

const THREADS: u32 = 256u;
const LANES: u32 = 8u;
const MAX_EXPERTS: u32 = 256u;

struct Args {
    n_cols: u32,
    n_experts: u32,
    n_used: u32,
    eps: f32,
    layer: u32,
    stand_ins: u32,  // 1: missing experts are stood in for, as far as there are others
    first_row: u32,  // of the step
}

#import step
#import route
#import paging

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [n_tokens, n_cols]
@group(0) @binding(2) var<storage, read> gain: array<f32>;    // [n_cols]
@group(0) @binding(3) var<storage, read> router: array<f32>;  // [n_experts, n_cols]
@group(0) @binding(4) var<storage, read> bias: array<f32>;    // [n_experts]
@group(0) @binding(5) var<storage, read_write> paging: Paging;
@group(0) @binding(6) var<storage, read_write> h: array<f32>; // [n_tokens, n_cols]
@group(0) @binding(7) var<storage, read_write> routes: array<Route>;  // [n_tokens, n_used]
@group(0) @binding(8) var<storage, read_write> saved: array<f32>; // [n_tokens, n_cols]
@group(0) @binding(9) var<uniform> steps: Steps;

#import rms

var<workgroup> partial: array<f32, THREADS>;
var<workgroup> logits: array<f32, MAX_EXPERTS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if (steps.each[step_of(group.x)].halt != 0u) {
        if (thread < args.n_used) {
            routes[group.x * args.n_used + thread] = Route(0u, DONE, 0.0, 0u);
        }
        return;
    }
    let first = group.x * args.n_cols;
    let scale = inverse_rms(thread, first);
    for (var i = thread; i < args.n_cols; i += THREADS) {
        h[first + i] = x[first + i] * scale * gain[i];
    }
    // The other tokens of this dispatch can lower it to this layer, not below.
    if (atomicLoad(&paging.first_miss) >= args.layer) {
        for (var i = thread; i < args.n_cols; i += THREADS) {
            saved[first + i] = x[first + i];
        }
    }

    let lane = thread % LANES;
    for (var tile = 0u; tile < args.n_experts; tile += THREADS / LANES) {
        let expert = tile + thread / LANES;
        var sum = 0.0;
        if (expert < args.n_experts) {
            for (var i = lane; i < args.n_cols; i += LANES) {
                sum += router[expert * args.n_cols + i] * (x[first + i] * scale * gain[i]);
            }
        }
        partial[thread] = sum;
        workgroupBarrier();
        if (lane == 0u && expert < args.n_experts) {
            var r = bias[expert];
            for (var l = 0u; l < LANES; l++) {
                r += partial[thread + l];
            }
            logits[expert] = r;
        }
        workgroupBarrier();
    }

    if (thread == 0u) {
        choose(group.x * args.n_used);
    }
}

fn slot_of(expert: u32) -> u32 {
    return paging.table[args.layer * args.n_experts + expert];
}

const TAKEN: f32 = -3.4e38;

// The n_used largest logits, into routes from `first` on.
fn choose(first: u32) {
    var missed = false;
    for (var k = first; k < first + args.n_used; k++) {
        var best = 0u;
        for (var e = 1u; e < args.n_experts; e++) {
            if (logits[e] > logits[best]) {
                best = e;
            }
        }
        let slot = slot_of(best);
        missed |= slot == MISS;
        routes[k] = Route(best, slot, logits[best], best);
        logits[best] = TAKEN;
    }
    if (missed) {
        atomicMin(&paging.first_miss, args.layer);
        if (args.stand_ins == 1u) {
            stand_in(first);
        }
    }
    var top = routes[first].weight;
    for (var k = first; k < first + args.n_used; k++) {
        top = max(top, routes[k].weight);
    }
    var total = 0.0;
    for (var k = first; k < first + args.n_used; k++) {
        let weight = exp(routes[k].weight - top);
        total += weight;
        routes[k].weight = weight;
    }
    for (var k = first; k < first + args.n_used; k++) {
        routes[k].weight /= total;
    }
}

// For each missing choice the best expert that has a slot and is not chosen yet.
fn stand_in(first: u32) {
    for (var k = first; k < first + args.n_used; k++) {
        if (routes[k].slot != MISS) {
            continue;
        }
        var best = MISS;
        for (var e = 0u; e < args.n_experts; e++) {
            if (logits[e] > TAKEN && slot_of(e) != MISS && (best == MISS || logits[e] > logits[best])) {
                best = e;
            }
        }
        if (best != MISS) {
            routes[k] = Route(best, slot_of(best), logits[best], routes[k].wanted);
            logits[best] = TAKEN;
        }
    }
}
