// x += sum over the chosen experts of weight * (Wd a + bd): a workgroup makes 32 rows of one
// token. A thread takes 4 rows and every LANES-th group of their columns; the bias is inside the weighting. A missing expert adds nothing;
// slots over the binding limit come in parts, each adds its own.

const LANES: u32 = 8u;
const TILES: u32 = 8u;
const THREADS: u32 = LANES * TILES;
const ROWS: u32 = TILES * 4u;

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

var<workgroup> partial: array<vec4<f32>, THREADS>;

// Group g of a row; past the last row it is the last one's.
fn row_group(slot: u32, row: u32, g: u32) -> Group {
    return w_group(slot, args.n_blocks, min(row, args.n_rows - 1u) * (args.n_cols / 32u) + g);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % LANES;
    let row = group.x * ROWS + thread / LANES * 4u;
    let n_groups = args.n_cols / 32u;
    let first = group.y * args.n_used;

    var total = vec4<f32>(0.0);
    for (var k = first; k < first + args.n_used; k++) {
        let route = routes[k];
        let slot = route.slot - args.first_slot;  // wraps above n_slots when it is in an earlier part
        if (slot >= args.n_slots) {
            continue;
        }
        var sum = vec4<f32>(0.0);
        for (var g = lane; g < n_groups; g += LANES) {
            let at = (k * n_groups + g) * 8u;
            let v = Group(
                mat4x4<f32>(act[at], act[at + 1u], act[at + 2u], act[at + 3u]),
                mat4x4<f32>(act[at + 4u], act[at + 5u], act[at + 6u], act[at + 7u]),
            );
            sum += vec4<f32>(
                dot_group(row_group(slot, row, g), v),
                dot_group(row_group(slot, row + 1u, g), v),
                dot_group(row_group(slot, row + 2u, g), v),
                dot_group(row_group(slot, row + 3u, g), v),
            );
        }
        total += route.weight * sum;
    }
    partial[thread] = total;
    workgroupBarrier();

    let out_row = group.x * ROWS + thread;
    if (thread < ROWS && out_row < args.n_rows) {
        var sum = 0.0;
        for (var l = 0u; l < LANES; l++) {
            sum += partial[thread / 4u * LANES + l][thread % 4u];
        }
        for (var k = first; k < first + args.n_used; k++) {
            let route = routes[k];
            if (route.slot - args.first_slot < args.n_slots) {
                sum += route.weight * bias[route.expert * args.n_rows + out_row];
            }
        }
        x[group.y * args.n_rows + out_row] += sum;
    }
}
