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

#ifdef STAGED
const AT_ONCE: u32 = 64u;  // groups of x

// Neighbouring threads want neighbouring groups, which lie 128 bytes apart: x is fetched side by side and comes from here.
var<workgroup> staged: array<vec4<f32>, AT_ONCE * 8u>;

// Of the i-th four of a group; those of neighbours lie in other banks.
fn place(g: u32, i: u32) -> u32 {
    return g % AT_ONCE * 8u + (i ^ (g % 8u));
}

// The groups from `begin` on of the row of x that begins at `first`, AT_ONCE of n_groups at most.
fn bring(thread: u32, first: u32, begin: u32, n_groups: u32) {
    workgroupBarrier();
    for (var i = begin * 8u + thread; i < min(begin + AT_ONCE, n_groups) * 8u; i += THREADS) {
        staged[place(i / 8u, i % 8u)] = four_of(first, i);
    }
    workgroupBarrier();
}

fn staged_group(g: u32) -> Group {
    return group_of(
        mat4x4<f32>(staged[place(g, 0u)], staged[place(g, 1u)], staged[place(g, 2u)], staged[place(g, 3u)]),
        mat4x4<f32>(staged[place(g, 4u)], staged[place(g, 5u)], staged[place(g, 6u)], staged[place(g, 7u)]),
    );
}
#else
const AT_ONCE: u32 = 0x10000u;  // more than a row has

// x is read as it lies.
fn bring(thread: u32, first: u32, begin: u32, n_groups: u32) {}
#endif
