// What the kernels of experts have in common. A workgroup works on one choice, as the router wrote it; or on a
// tile of choices of one expert: up to four with FOUR, up to 32 with BLOCK. A kernel has x and y, by tokens or
// choices.

#ifdef BLOCK
#import block
#else
#import columns
#endif

#ifdef IN_TILES
#import tile
@group(0) @binding(1) var<storage, read> chosen: array<Tile>;

fn choice_of(workgroup: u32, c: u32) -> u32 {
    return chosen[workgroup].choices[c / 4u][c % 4u];
}

fn n_choices(workgroup: u32) -> u32 {
    return chosen[workgroup].n_choices;
}
#else
#import route
@group(0) @binding(1) var<storage, read> chosen: array<Route>;  // [n_tokens, n_used]

fn choice_of(workgroup: u32, c: u32) -> u32 {
    return workgroup;
}

fn n_choices(workgroup: u32) -> u32 {
    return 1u;
}
#endif

// Where the row of x begins that belongs to a choice of a workgroup's; `share` choices have one row.
fn first_four_of_choice(workgroup: u32, share: u32, c: u32) -> u32 {
    return choice_of(workgroup, c) / share * (args.n_cols / 4u);
}

#ifdef STAGED
// The i-th four elements of a row that begins at `first`.
fn four_of(first: u32, i: u32) -> vec4<f32> {
    return x[first + i];
}
#endif

#ifndef BLOCK
fn x_group(at: u32) -> Group {
    return group_of(
        mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]),
        mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]),
    );
}

// Group g of the rows of x that belong to a workgroup's choices; `share` choices have one row.
fn columns(workgroup: u32, share: u32, g: u32) -> Columns {
#ifdef STAGED
    return staged_group(g);
#else
    let n = args.n_cols / 4u;
#ifdef FOUR
    let at = chosen[workgroup].choices[0] / share * n + g * 8u;
    return Columns(x_group(at.x), x_group(at.y), x_group(at.z), x_group(at.w));
#else
    return x_group(workgroup / share * n + g * 8u);
#endif
#endif
}
#endif

// Of choice c of those of a workgroup.
fn store(workgroup: u32, c: u32, row: u32, value: f32) {
    y[choice_of(workgroup, c) * args.n_rows + row] = value;
}
