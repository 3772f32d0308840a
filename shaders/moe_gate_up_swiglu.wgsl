// a = swiglu(Wg h + bg, Wu h + bu) for each chosen expert: one workgroup makes ROWS rows for one
// (token, choice); LANES threads share a row and read gate and up side by side.
//   g = min(g, limit); u = clamp(u, -limit, limit); a = g * sigmoid(alpha * g) * (u + shift)
// gpt-oss has alpha 1.702, limit 7, shift 1; plain SwiGLU is alpha 1, no limit, shift 0.
// A missing expert gives zeros. Slots over the binding limit come in parts; each part serves its own.

const ROWS: u32 = 8u;
const LANES: u32 = 8u;

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

var<workgroup> partial: array<vec2<f32>, ROWS * LANES>;

@compute @workgroup_size(ROWS * LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % LANES;
    let row = group.x * ROWS + thread / LANES;
    let n_groups = args.n_cols / 32u;
    let route = routes[group.y];
    let x = (group.y / args.n_used) * n_groups * 8u;

    let slot = route.slot - args.first_slot;  // wraps above n_slots when it is in an earlier part
    let is_here = slot < args.n_slots;

    var sum = vec2<f32>(0.0);
    if (row < args.n_rows && is_here) {
        for (var g = lane; g < n_groups; g += LANES) {
            let at = x + g * 8u;
            let wg = gate_group(slot, args.n_blocks, row * n_groups + g);
            let wu = up_group(slot, args.n_blocks, row * n_groups + g);
            for (var i = 0u; i < 4u; i++) {
                let lo = h[at + i];
                let hi = h[at + 4u + i];
                sum.x += dot(wg.a[i], lo) + dot(wg.b[i], hi);
                sum.y += dot(wu.a[i], lo) + dot(wu.b[i], hi);
            }
        }
    }
    partial[thread] = sum;
    workgroupBarrier();

    if (lane == 0u && row < args.n_rows && (is_here || route.slot == MISS)) {
        var a = 0.0;
        if (is_here) {
            var gu = vec2<f32>(bias[route.expert * args.n_rows + row], bias[(args.n_experts + route.expert) * args.n_rows + row]);
            for (var l = 0u; l < LANES; l++) {
                gu += partial[thread + l];
            }
            let g = min(gu.x, args.limit);
            let u = clamp(gu.y, -args.limit, args.limit);
            a = g / (1.0 + exp(-args.alpha * g)) * (u + args.shift);
        }
        act[group.y * args.n_rows + row] = a;
    }
}
