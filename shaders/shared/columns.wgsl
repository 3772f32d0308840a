// What the matrix kernels have in common. A thread takes THREAD_ROWS rows and every LANES-th group of their
// columns, for one column of x, or with FOUR for four, so that each weight is read once for all of them; the
// LANES threads of a tile of rows are added up at the end.
// + neighbouring threads read neighbouring 16-byte words of the same row
// + 32 elements of x serve all rows of a thread

const LANES: u32 = 8u;
const ROW_TILES: u32 = 8u;
const THREADS: u32 = LANES * ROW_TILES;

#ifdef FOUR
const COLS: u32 = 4u;
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
const COLS: u32 = 1u;
alias Sum = f32;
alias Columns = Group;

fn dots(w: Group, v: Columns) -> Sum {
    return dot_group(w, v);
}
#endif
