// h = rms(x) * gain; r = Wr h + br; the n_used largest r, softmax over these alone, and the slot of
// each chosen expert. One workgroup a token, LANES threads an expert. A layer that misses an expert is
// noted, and its residual stream is saved, so that the pass can be taken up again from here: every layer
// saves its x while none before it has missed.
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
}

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

#import rms

var<workgroup> partial: array<f32, THREADS>;
var<workgroup> logits: array<f32, MAX_EXPERTS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
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
        let route = group.x * args.n_used;
        var top = 0.0;
        var total = 0.0;
        for (var k = 0u; k < args.n_used; k++) {
            var best = 0u;
            for (var e = 1u; e < args.n_experts; e++) {
                if (logits[e] > logits[best]) {
                    best = e;
                }
            }
            if (k == 0u) {
                top = logits[best];
            }
            let weight = exp(logits[best] - top);
            total += weight;
            let slot = paging.table[args.layer * args.n_experts + best];
            if (slot == MISS) {
                atomicMin(&paging.first_miss, args.layer);
            }
            routes[route + k] = Route(best, slot, weight, 0u);
            logits[best] = -3.4e38;
        }
        for (var k = 0u; k < args.n_used; k++) {
            routes[route + k].weight /= total;
        }
    }
}
