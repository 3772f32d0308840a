// y = Wd a + bd for each chosen expert: a workgroup makes 32 rows for one (token, choice). A thread
// takes 4 rows and every LANES-th group of their columns. Nothing is written for a choice whose expert
// is not here: it is missing, was done before, or has its slot in another part.

const LANES: u32 = 8u;
const TILES: u32 = 8u;
const THREADS: u32 = LANES * TILES;
const ROWS: u32 = TILES * 4u;

struct Args {
    n_cols: u32,    // elements of a: the expert's FFN width
    n_rows: u32,    // elements of y
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
@group(0) @binding(6) var<storage, read_write> y: array<f32>;    // [n_tokens, n_used, n_rows]

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
    let route = routes[group.y];
    let slot = route.slot - args.first_slot;  // wraps above n_slots when it is in an earlier part
    let is_here = slot < args.n_slots;

    var sum = vec4<f32>(0.0);
    if (is_here) {
        for (var g = lane; g < n_groups; g += LANES) {
            let at = (group.y * n_groups + g) * 8u;
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
    }
    partial[thread] = sum;
    workgroupBarrier();

    let out_row = group.x * ROWS + thread;
    if (thread < ROWS && out_row < args.n_rows && is_here) {
        var value = bias[route.expert * args.n_rows + out_row];
        for (var l = 0u; l < LANES; l++) {
            value += partial[thread / 4u * LANES + l][thread % 4u];
        }
        y[group.y * args.n_rows + out_row] = value;
    }
}
