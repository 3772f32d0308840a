// x += sum over the chosen experts of weight * (Wd a + bd): one workgroup makes ROWS rows of one
// token, LANES threads share a row; the bias is inside the weighting. A missing expert adds nothing;
// slots over the binding limit come in parts, each adds its own.

const ROWS: u32 = 8u;
const LANES: u32 = 8u;

struct Args {
    n_cols: u32,    // elements of a: the expert's FFN width
    n_rows: u32,    // elements of x
    n_used: u32,    // choices a token
    n_blocks: u32,  // of one expert's down, in blocks of the format
    first_slot: u32, // of this part of the slots
    n_slots: u32,
}

#import route

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> act: array<vec4<f32>>;  // [n_tokens, n_used, n_cols]
@group(0) @binding(2) var<storage, read> routes: array<Route>;   // [n_tokens, n_used]
@group(0) @binding(3) var<storage, read> w_quants: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> w_scales: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;       // [n_experts, n_rows]
@group(0) @binding(6) var<storage, read_write> x: array<f32>;    // [n_tokens, n_rows]

#import group
#import weights as w

var<workgroup> partial: array<f32, ROWS * LANES>;

@compute @workgroup_size(ROWS * LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % LANES;
    let row = group.x * ROWS + thread / LANES;
    let n_groups = args.n_cols / 32u;

    var total = 0.0;
    if (row < args.n_rows) {
        for (var k = group.y * args.n_used; k < (group.y + 1u) * args.n_used; k++) {
            let route = routes[k];
            let slot = route.slot - args.first_slot;  // wraps above n_slots when it is in an earlier part
            if (slot >= args.n_slots) {
                continue;
            }
            var sum = 0.0;
            for (var g = lane; g < n_groups; g += LANES) {
                let at = (k * n_groups + g) * 8u;
                let w = w_group(slot, args.n_blocks, row * n_groups + g);
                for (var i = 0u; i < 4u; i++) {
                    sum += dot(w.a[i], act[at + i]) + dot(w.b[i], act[at + 4u + i]);
                }
            }
            if (lane == 0u) {
                sum += bias[route.expert * args.n_rows + row];
            }
            total += route.weight * sum;
        }
    }
    partial[thread] = total;
    workgroupBarrier();

    if (lane == 0u && row < args.n_rows) {
        var sum = 0.0;
        for (var l = 0u; l < LANES; l++) {
            sum += partial[thread + l];
        }
        x[group.y * args.n_rows + row] += sum;
    }
}
