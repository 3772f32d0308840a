// What the kernels of experts have in common. A workgroup works on one choice, as the router wrote it; or,
// with FOUR, on a tile of up to four choices of one expert. A kernel has x and y, by tokens or choices.

#import columns

#ifdef FOUR
#import tile
@group(0) @binding(1) var<storage, read> chosen: array<Tile>;
#else
#import route
@group(0) @binding(1) var<storage, read> chosen: array<Route>;  // [n_tokens, n_used]
#endif

fn x_group(at: u32) -> Group {
    return group_of(
        mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]),
        mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]),
    );
}

// Group g of the rows of x that belong to a workgroup's choices; `share` choices have one row.
fn columns(workgroup: u32, share: u32, g: u32) -> Columns {
    let n = args.n_cols / 4u;
#ifdef FOUR
    let at = chosen[workgroup].choices / share * n + g * 8u;
    return Columns(x_group(at.x), x_group(at.y), x_group(at.z), x_group(at.w));
#else
    return x_group(workgroup / share * n + g * 8u);
#endif
}

fn n_choices(workgroup: u32) -> u32 {
#ifdef FOUR
    return chosen[workgroup].n_choices;
#else
    return 1u;
#endif
}

// Of choice c of those of a workgroup.
fn store(workgroup: u32, c: u32, row: u32, value: f32) {
#ifdef FOUR
    let choice = chosen[workgroup].choices[c];
#else
    let choice = workgroup;
#endif
    y[choice * args.n_rows + row] = value;
}
