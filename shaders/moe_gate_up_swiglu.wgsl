// a = swiglu(Wg h + bg, Wu h + bu) for each chosen expert: a workgroup makes 16 rows for one (token,
// choice). A thread takes 2 rows of gate and the same of up, and every LANES-th group of their columns.
//   g = min(g, limit); u = clamp(u, -limit, limit); a = g * sigmoid(alpha * g) * (u + shift)
// gpt-oss has alpha 1.702, limit 7, shift 1; plain SwiGLU is alpha 1, no limit, shift 0.
// Nothing is written for a choice whose expert is not here: it is missing, was done before, or has its
// slot in another part.

const LANES: u32 = 8u;
const TILES: u32 = 8u;
const THREADS: u32 = LANES * TILES;
const ROWS: u32 = TILES * 2u;

struct Args {
    n_cols: u32,     // elements of h
    n_rows: u32,     // of gate and of up: the expert's FFN width
    n_used: u32,     // choices a token
    n_experts: u32,
    n_blocks: u32,   // of one expert's gate, in blocks of the format
    first_slot: u32, // of this part of the slots
    n_slots: u32,
    alpha: f32,
    limit: f32,
    shift: f32,
}

#import route

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;      // [n_tokens, n_cols]
@group(0) @binding(2) var<storage, read> routes: array<Route>;     // [n_tokens, n_used]
@group(0) @binding(3) var<storage, read> gate_quants: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> gate_scales: array<u32>;
@group(0) @binding(5) var<storage, read> up_quants: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> up_scales: array<u32>;
@group(0) @binding(7) var<storage, read> bias: array<f32>;         // [2, n_experts, n_rows]: gate, up
@group(0) @binding(8) var<storage, read_write> act: array<f32>;    // [n_tokens, n_used, n_rows]

#import group
#import weights as gate
#import weights as up

var<workgroup> partial: array<vec4<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % LANES;
    let row = group.x * ROWS + thread / LANES * 2u;
    let n_groups = args.n_cols / 32u;
    let route = routes[group.y];
    let x = (group.y / args.n_used) * n_groups * 8u;
    let slot = route.slot - args.first_slot;  // wraps above n_slots when it is in an earlier part
    let is_here = slot < args.n_slots;

    var sum = vec4<f32>(0.0);  // gate, gate, up, up
    if (is_here) {
        let first = min(row, args.n_rows - 1u) * n_groups;
        let second = min(row + 1u, args.n_rows - 1u) * n_groups;
        for (var g = lane; g < n_groups; g += LANES) {
            let at = x + g * 8u;
            let v = Group(
                mat4x4<f32>(h[at], h[at + 1u], h[at + 2u], h[at + 3u]),
                mat4x4<f32>(h[at + 4u], h[at + 5u], h[at + 6u], h[at + 7u]),
            );
            sum += vec4<f32>(
                dot_group(gate_group(slot, args.n_blocks, first + g), v),
                dot_group(gate_group(slot, args.n_blocks, second + g), v),
                dot_group(up_group(slot, args.n_blocks, first + g), v),
                dot_group(up_group(slot, args.n_blocks, second + g), v),
            );
        }
    }
    partial[thread] = sum;
    workgroupBarrier();

    // Two threads a tile, one a row.
    let out_row = group.x * ROWS + thread;
    if (thread < ROWS && out_row < args.n_rows && is_here) {
        var g = bias[route.expert * args.n_rows + out_row];
        var u = bias[(args.n_experts + route.expert) * args.n_rows + out_row];
        for (var l = 0u; l < LANES; l++) {
            let part = partial[thread / 2u * LANES + l];
            g += part[thread % 2u];
            u += part[2u + thread % 2u];
        }
        g = min(g, args.limit);
        u = clamp(u, -args.limit, args.limit);
        act[group.y * args.n_rows + out_row] = g / (1.0 + exp(-args.alpha * g)) * (u + args.shift);
    }
}
