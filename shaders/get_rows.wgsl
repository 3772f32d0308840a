// y[t] = W[tokens[t]]: the embedding; with NEXT, of the token that each row's step says. One thread dequantises one group of one token's row. A table
// over the binding limit comes in parts by rows; each part serves the tokens it holds.

struct Args {
    n_cols: u32,     // elements a row
    n_tokens: u32,
    part_row: u32,   // of this part in the whole table
    n_rows: u32,     // of this part
    n_blocks: u32,   // of this part, in blocks of the format
    first_row: u32,  // of the step
}

@group(0) @binding(0) var<uniform> args: Args;
#ifdef NEXT
@group(0) @binding(1) var<uniform> steps: Steps;
#else
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
#endif
@group(0) @binding(2) var<storage, read> w_quants: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> w_scales: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;  // [n_tokens, n_cols]

#import group
#import weights as w

#ifdef NEXT
#import step

fn token_of(row: u32) -> u32 {
    return steps.each[step_of(row)].token;
}
#else
fn token_of(row: u32) -> u32 {
    return tokens[row];
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n_groups = args.n_cols / 32u;
    let token = id.y;
    let row = token_of(token) - args.part_row;  // wraps far above n_rows when it is in an earlier part
    if (id.x >= n_groups || row >= args.n_rows) {
        return;
    }
    let w = w_group(0u, args.n_blocks, row * n_groups + id.x);
    let at = (token * n_groups + id.x) * 8u;
    for (var i = 0u; i < 4u; i++) {
        y[at + i] = w.scale.x * w.a[i] - w.min.x;
        y[at + 4u + i] = w.scale.y * w.b[i] - w.min.y;
    }
}
