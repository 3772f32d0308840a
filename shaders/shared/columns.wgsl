// What the matrix kernels have in common. A thread takes THREAD_ROWS rows and every LANES-th group of their
// columns, for one column of x, or with FOUR for four, so that each weight is read once for all of them. The
// LANES threads of a tile of rows are added up at the end, SUMS sums at a time.
// WIDE is the shape for GPUs: neighbouring threads read neighbouring 16-byte words of the same row, and where subgroups
// are known a tile lies in one, so that its threads need no memory and no barrier to add up.
// The other one is for software adapters, where a workgroup's threads are lanes of one or two vectors:
// + every lane reads the same x, which a compiler that sees this loads once
// + a barrier between so few has nobody to wait for
// + little workgroup memory, which a browser has to zero: software adapters write that out word by word

#ifdef WIDE
#ifdef SUBGROUPS
const LANES: u32 = min(SUBGROUP, 32u);
#else
const LANES: u32 = 32u;
#endif
const ROW_TILES: u32 = 4u;
const SUMS: u32 = 4u;
#else
const LANES: u32 = 1u;
const ROW_TILES: u32 = 8u;
const SUMS: u32 = 8u;
#endif
const THREADS: u32 = LANES * ROW_TILES;

#ifdef FOUR
const COLS: u32 = 4u;
alias Sum = vec4<f32>;  // one a column

fn part(sum: Sum, c: u32) -> f32 {
    return sum[c];
}

struct Columns {
    a: Group,
    b: Group,
    c: Group,
    d: Group,
}

fn dots(w: Weights, v: Columns) -> Sum {
    return Sum(dot_group(w, v.a), dot_group(w, v.b), dot_group(w, v.c), dot_group(w, v.d));
}
#else
const COLS: u32 = 1u;
alias Sum = f32;

fn part(sum: Sum, c: u32) -> f32 {
    return sum;
}

alias Columns = Group;

fn dots(w: Weights, v: Columns) -> Sum {
    return dot_group(w, v);
}
#endif

#ifdef WIDE
#ifdef SUBGROUPS
#import subgroup_sums
#else
#import workgroup_sums
#endif
#else
#import workgroup_sums
#endif
