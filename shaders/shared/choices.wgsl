// What the kernels of experts have in common. A workgroup works on one choice, as the router wrote it; or,
// with TILE, on up to COLS choices of one expert, so that each weight is read once for all of them. Either
// way what a choice gets is summed in the same order. A kernel has x and y, by tokens or choices.

const LANES: u32 = 8u;
const ROW_TILES: u32 = 8u;
const THREADS: u32 = LANES * ROW_TILES;

#ifdef TILE
#import tile
@group(0) @binding(1) var<storage, read> chosen: array<Tile>;
alias Sum = vec4<f32>;  // one a column

struct Columns {
    a: Group,
    b: Group,
    c: Group,
    d: Group,
}

fn dots(w: Group, v: Columns) -> Sum {
    return Sum(dot_group(w, v.a), dot_group(w, v.b), dot_group(w, v.c), dot_group(w, v.d));
}
#else
#import route
@group(0) @binding(1) var<storage, read> chosen: array<Route>;  // [n_tokens, n_used]
alias Sum = f32;
alias Columns = Group;

fn dots(w: Group, v: Columns) -> Sum {
    return dot_group(w, v);
}
#endif

fn x_group(at: u32) -> Group {
    return Group(
        mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]),
        mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]),
    );
}

// Group g of the rows of x that belong to a workgroup's choices; `share` choices have one row.
fn columns(workgroup: u32, share: u32, g: u32) -> Columns {
    let n = args.n_cols / 4u;
#ifdef TILE
    let choices = chosen[workgroup].choices / share * n + g * 8u;
    return Columns(x_group(choices.x), x_group(choices.y), x_group(choices.z), x_group(choices.w));
#else
    return x_group(workgroup / share * n + g * 8u);
#endif
}

fn store(workgroup: u32, row: u32, value: Sum) {
#ifdef TILE
    for (var c = 0u; c < chosen[workgroup].n_choices; c++) {
        y[chosen[workgroup].choices[c] * args.n_rows + row] = value[c];
    }
#else
    y[workgroup * args.n_rows + row] = value;
#endif
}
