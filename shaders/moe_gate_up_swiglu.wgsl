// a = swiglu(Wg h + bg, Wu h + bu) for each chosen expert. Of a thread's rows, half are of gate.
//   g = min(g, limit); u = clamp(u, -limit, limit); a = g * sigmoid(alpha * g) * (u + shift)
// gpt-oss has alpha 1.702, limit 7, shift 1; plain SwiGLU is alpha 1, no limit, shift 0.
// Nothing is written for a choice whose expert is not here: it is missing, was done before, or has its
// slot in another part.

#ifdef BLOCK
const ROWS: u32 = BLOCK_ROWS / 2u;  // of a workgroup
#else
#ifdef WIDE
const THREAD_ROWS: u32 = 2u;
#else
#ifdef FOUR
const THREAD_ROWS: u32 = 8u;
#else
const THREAD_ROWS: u32 = 4u;
#endif
#endif
const ROWS: u32 = ROW_TILES * THREAD_ROWS;  // of a workgroup
#endif

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

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;      // h [n_tokens, n_cols]
@group(0) @binding(3) var<storage, read> gate_quants: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> gate_scales: array<u32>;
@group(0) @binding(5) var<storage, read> up_quants: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> up_scales: array<u32>;
@group(0) @binding(7) var<storage, read> bias: array<f32>;         // [2, n_experts, n_rows]: gate, up
@group(0) @binding(8) var<storage, read_write> y: array<f32>;      // a [n_tokens, n_used, n_rows]

#import group
#import choices
#import weights as gate
#import weights as up

// Of one row: what the products of gate and up make.
fn swiglu(expert: u32, row: u32, gate: f32, up: f32) -> f32 {
    let g = min(bias[expert * args.n_rows + row] + gate, args.limit);
    let u = bias[(args.n_experts + expert) * args.n_rows + row] + up;
    let shifted = clamp(u, -args.limit, args.limit) + args.shift;
    return g / (1.0 + exp(-args.alpha * g)) * shifted;
}

#ifdef BLOCK
// Rows of gate, then as many of up.
fn weights_of(group: vec2<u32>, row: u32, g: u32) -> Weights {
    let slot = chosen[group.y].slot - args.first_slot;
    let at = min(group.x * ROWS + row % ROWS, args.n_rows - 1u) * (args.n_cols / 32u) + g;
    if (row < ROWS) {
        return gate_group(slot, args.n_blocks, at);
    }
    return up_group(slot, args.n_blocks, at);
}

#endif

fn first_four_of(group: vec2<u32>, c: u32) -> u32 {
    return first_four_of_choice(group.y, args.n_used, c);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let slot = chosen[group.y].slot - args.first_slot;  // wraps above n_slots when it is in an earlier part
    if (slot >= args.n_slots) {
        return;
    }
    let n_groups = args.n_cols / 32u;
#ifdef BLOCK
    let sums = product(group.xy, thread, n_groups);
    for (var i = 0u; i < 16u; i++) {
        let c = first_column_of(thread) + 8u * (i / 4u);
        let row = group.x * ROWS + first_row_of(thread) + 8u * (i % 4u);
        if (c < n_choices(group.y) && row < args.n_rows) {
            let value = swiglu(chosen[group.y].expert, row, sums.low[i / 4u][i % 4u], sums.high[i / 4u][i % 4u]);
            store(group.y, c, row, value);
        }
    }
#else
    let row = group.x * ROWS + thread / LANES * THREAD_ROWS;
    var gate = array<Sum, THREAD_ROWS>();
    var up = array<Sum, THREAD_ROWS>();
    for (var begin = 0u; begin < n_groups; begin += AT_ONCE) {
        bring(thread, first_four_of(group.xy, 0u), begin, n_groups);
        for (var g = begin + thread % LANES; g < min(begin + AT_ONCE, n_groups); g += LANES) {
            let v = columns(group.y, args.n_used, g);
            for (var r = 0u; r < THREAD_ROWS; r++) {
                // Past the last row it is the last one's.
                let at = min(row + r, args.n_rows - 1u) * n_groups + g;
                gate[r] += dots(gate_group(slot, args.n_blocks, at), v);
                up[r] += dots(up_group(slot, args.n_blocks, at), v);
            }
        }
    }
    // Half of the sums are of gate, for a row's four columns or fewer of them.
    let half_sums = SUMS / 2u;
    for (var first = 0u; first < THREAD_ROWS * COLS; first += half_sums) {
        for (var i = 0u; i < half_sums; i++) {
            put(thread, i, part(gate[(first + i) / COLS], (first + i) % COLS));
            put(thread, half_sums + i, part(up[(first + i) / COLS], (first + i) % COLS));
        }
        meet();
        for (var i = thread % LANES; i < half_sums; i += LANES) {
            let column = (first + i) % COLS;
            let out_row = row + (first + i) / COLS;
            if (out_row < args.n_rows && column < n_choices(group.y)) {
                let value = swiglu(chosen[group.y].expert, out_row, total(thread, i), total(thread, half_sums + i));
                store(group.y, column, out_row, value);
            }
        }
        meet();
    }
#endif
}
