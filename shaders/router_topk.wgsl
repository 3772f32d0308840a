// h = rms(x) * gain; r = Wr h + br; the n_used largest r, softmax over these alone, and the slot of
// each chosen expert. One workgroup a token, LANES threads an expert. A layer that misses an expert is
// noted, and its residual stream is saved, so that the pass can be taken up again from here: every layer
// saves its x while none before it has missed. A row whose sequence has halted chooses nobody. In such a pass
// only the choices of later layers are of use, as a prediction: there the best experts that have slots may stand
// in for those that have none. Ties go to the lower index.

const THREADS: u32 = 256u;
const LANES: u32 = 8u;
const TILE: u32 = THREADS / LANES;  // experts at a time
const MAX_EXPERTS: u32 = THREADS;

struct Args {
    n_cols: u32,  // a multiple of 4
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
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [n_tokens, n_cols]
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;    // [n_cols]
@group(0) @binding(3) var<storage, read> router: array<vec4<f32>>;  // [n_experts, n_cols]
@group(0) @binding(4) var<storage, read> bias: array<f32>;          // [n_experts]
@group(0) @binding(5) var<storage, read_write> paging: Paging;
@group(0) @binding(6) var<storage, read_write> h: array<vec4<f32>>;       // [n_tokens, n_cols]
@group(0) @binding(7) var<storage, read_write> routes: array<Route>;  // [n_tokens, n_used]
@group(0) @binding(8) var<storage, read_write> saved: array<vec4<f32>>;   // [n_tokens, n_cols]
@group(0) @binding(9) var<uniform> steps: Steps;

#import rms

var<workgroup> partial: array<f32, THREADS>;
var<workgroup> logits: array<f32, MAX_EXPERTS>;
var<workgroup> ranked: array<u32, MAX_EXPERTS>;  // experts by their rank

// Four terms of an expert's logit, without the norm, which is known once all of x was seen; none past the last.
fn term(expert: u32, first: u32, i: u32) -> f32 {
    let n = args.n_cols / 4u;
    let at = min(i, n - 1u);
    return select(0.0, dot(router[expert * n + at], x[first + at] * gain[at]), i < n);
}

// A thread's share of an expert's logit. One workgroup waits for all of the router's bytes, so eight loads are under way at once.
fn share(expert: u32, first: u32, lane: u32) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < args.n_cols / 4u; i += 8u * LANES) {
        let a = term(expert, first, i) + term(expert, first, i + LANES);
        let b = term(expert, first, i + 2u * LANES) + term(expert, first, i + 3u * LANES);
        let c = term(expert, first, i + 4u * LANES) + term(expert, first, i + 5u * LANES);
        let d = term(expert, first, i + 6u * LANES) + term(expert, first, i + 7u * LANES);
        sum += (a + b) + (c + d);
    }
    return sum;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if (steps.each[step_of(group.x)].halt != 0u) {
        if (thread < args.n_used) {
            routes[group.x * args.n_used + thread] = Route(0u, DONE, 0.0, 0u);
        }
        return;
    }
    let n = args.n_cols / 4u;
    let first = group.x * n;
    let lane = thread % LANES;
    for (var tile = 0u; tile < args.n_experts; tile += TILE) {
        let expert = tile + thread / LANES;
        partial[thread] = share(min(expert, args.n_experts - 1u), first, lane);
        workgroupBarrier();
        if (lane == 0u && expert < args.n_experts) {
            var sum = 0.0;
            for (var l = 0u; l < LANES; l++) {
                sum += partial[thread + l];
            }
            logits[expert] = sum;
        }
        workgroupBarrier();
    }

    let scale = inverse_rms(thread, first);
    for (var i = thread; i < n; i += THREADS) {
        h[first + i] = x[first + i] * scale * gain[i];
    }
    // The other tokens of this dispatch can lower it to this layer, not below.
    if (atomicLoad(&paging.first_miss) >= args.layer) {
        for (var i = thread; i < n; i += THREADS) {
            saved[first + i] = x[first + i];
        }
    }
    if (thread < args.n_experts) {
        logits[thread] = logits[thread] * scale + bias[thread];
    }
    ranked[thread] = 0u;
    workgroupBarrier();
    choose(group.x * args.n_used, thread);
}

fn slot_of(expert: u32) -> u32 {
    return paging.table[args.layer * args.n_experts + expert];
}

// How many experts come before this one.
fn rank_of(expert: u32) -> u32 {
    let mine = logits[expert];
    var rank = 0u;
    for (var e = 0u; e < args.n_experts; e++) {
        rank += u32(logits[e] > mine || (logits[e] == mine && e < expert));
    }
    return rank;
}

// Whoever is among the first n_used is chosen.
fn choose(first: u32, thread: u32) {
    if (thread < args.n_experts) {
        ranked[rank_of(thread)] = thread;
    }
    workgroupBarrier();
    let is_used = thread < args.n_used;
    let wanted = ranked[thread];
    if (is_used && slot_of(wanted) == MISS) {
        atomicMin(&paging.first_miss, args.layer);
    }
    workgroupBarrier();
    if (thread == 0u && args.stand_ins == 1u) {
        stand_in();
    }
    workgroupBarrier();
    if (is_used) {
        let expert = ranked[thread];
        var top = logits[expert];
        for (var k = 0u; k < args.n_used; k++) {
            top = max(top, logits[ranked[k]]);
        }
        var total = 0.0;
        for (var k = 0u; k < args.n_used; k++) {
            total += exp(logits[ranked[k]] - top);
        }
        routes[first + thread] = Route(expert, slot_of(expert), exp(logits[expert] - top) / total, wanted);
    }
}

// In the place of each chosen expert that has no slot the next one by rank that has one, as long as there are any.
fn stand_in() {
    var next = args.n_used;
    for (var k = 0u; k < args.n_used; k++) {
        if (slot_of(ranked[k]) != MISS) {
            continue;
        }
        while (next < args.n_experts && slot_of(ranked[next]) == MISS) {
            next++;
        }
        if (next < args.n_experts) {
            ranked[k] = ranked[next];
            next++;
        }
    }
}
