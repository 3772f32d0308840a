// y = Wd a + bd for each chosen expert. Nothing is written for a choice whose expert is not here: it is
// missing, was done before, or has its slot in another part.

#ifdef BLOCK
const ROWS: u32 = BLOCK_ROWS;  // of a workgroup
#else
#ifdef WIDE
const THREAD_ROWS: u32 = 4u;
#else
#ifdef FOUR
const THREAD_ROWS: u32 = 16u;
#else
const THREAD_ROWS: u32 = 8u;
#endif
#endif
const ROWS: u32 = ROW_TILES * THREAD_ROWS;  // of a workgroup
#endif

struct Args {
    n_cols: u32,    // elements of a: the expert's FFN width
    n_rows: u32,    // elements of y
    n_blocks: u32,  // of one expert's down, in blocks of the format
    first_slot: u32, // of this part of the slots
    n_slots: u32,
}

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;  // [n_tokens, n_used, n_cols]
@group(0) @binding(3) var<storage, read> w_quants: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> w_scales: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;     // [n_experts, n_rows]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [n_tokens, n_used, n_rows]

#import group
#import choices
#import weights as w

// Group g of a row; past the last row it is the last one's.
fn row_group(slot: u32, row: u32, g: u32) -> Weights {
    return w_group(slot, args.n_blocks, min(row, args.n_rows - 1u) * (args.n_cols / 32u) + g);
}

#ifdef BLOCK
fn weights_of(group: vec2<u32>, row: u32, g: u32) -> Weights {
    return row_group(chosen[group.y].slot - args.first_slot, group.x * ROWS + row, g);
}

#endif

fn first_four_of(group: vec2<u32>, c: u32) -> u32 {
    return first_four_of_choice(group.y, 1u, c);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let slot = chosen[group.y].slot - args.first_slot;  // wraps above n_slots when it is in an earlier part
    if (slot >= args.n_slots) {
        return;
    }
#ifdef BLOCK
    let sums = product(group.xy, thread, args.n_cols / 32u);
    for (var i = 0u; i < 32u; i++) {
        let c = first_column_of(thread) + 8u * (i / 8u);
        let row = group.x * ROWS + first_row_of(thread) + 8u * (i % 8u);
        if (c < n_choices(group.y) && row < args.n_rows) {
            let sum = select(sums.low[i / 8u][i % 4u], sums.high[i / 8u][i % 4u], i % 8u >= 4u);
            store(group.y, c, row, bias[chosen[group.y].expert * args.n_rows + row] + sum);
        }
    }
#else
    let row = group.x * ROWS + thread / LANES * THREAD_ROWS;
    var sums = array<Sum, THREAD_ROWS>();
    let n_groups = args.n_cols / 32u;
    for (var begin = 0u; begin < n_groups; begin += AT_ONCE) {
        bring(thread, first_four_of(group.xy, 0u), begin, n_groups);
        for (var g = begin + thread % LANES; g < min(begin + AT_ONCE, n_groups); g += LANES) {
            let v = columns(group.y, 1u, g);
            for (var r = 0u; r < THREAD_ROWS; r++) {
                sums[r] += dots(row_group(slot, row + r, g), v);
            }
        }
    }
    for (var first = 0u; first < THREAD_ROWS; first += SUMS / COLS) {
        for (var i = 0u; i < SUMS; i++) {
            put(thread, i, part(sums[first + i / COLS], i % COLS));
        }
        meet();
        for (var i = thread % LANES; i < SUMS; i += LANES) {
            let column = i % COLS;
            let out_row = row + first + i / COLS;
            if (out_row < args.n_rows && column < n_choices(group.y)) {
                store(group.y, column, out_row, bias[chosen[group.y].expert * args.n_rows + out_row] + total(thread, i));
            }
        }
        meet();
    }
#endif
}
