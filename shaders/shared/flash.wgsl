// Online softmax over keys in tiles, for query rows that share a KV head, in groups of eight. A thread scores
// whole keys for one group, so that a key's load serves eight rows; then it gathers eight dimensions of every
// so-manieth value, for eight rows too. What the threads gathered is added up once, at the end.

#import kv

const MAX_GROUPS: u32 = 4u;
// Threads that look for the top of a column of scores.
const SLICES: u32 = 8u;
// What no score is.
const LEAST: f32 = -1e30;

// [n_groups, head_dim / 4, 8 rows], scaled; a group has one vec4 more than that, so that threads of other groups read from other banks
var<workgroup> query: array<vec4<f32>, 512u + MAX_GROUPS>;
var<workgroup> scores: array<vec4<f32>, 256>;  // [keys of a tile, n_columns]; a column is four rows
var<workgroup> slices: array<vec4<f32>, SLICES * 2u * MAX_GROUPS>;
var<workgroup> tops: array<vec4<f32>, 2u * MAX_GROUPS>;    // of the scores so far, by columns
var<workgroup> fades: array<vec4<f32>, 2u * MAX_GROUPS>;   // what the last tile's top makes of sums before it
var<workgroup> totals: array<vec4<f32>, 2u * MAX_GROUPS>;

// Of one key, or of one thread, for the rows of a group.
struct Rows {
    a: vec4<f32>,
    b: vec4<f32>,
}

// Sums of values: a column of a matrix is a row's.
struct Sums {
    a_lo: mat4x4<f32>,
    a_hi: mat4x4<f32>,
    b_lo: mat4x4<f32>,
    b_hi: mat4x4<f32>,
}

// Eight dimensions of four rows times those of a key; the rows' first four are at q of query.
fn products_of_four(q: u32, k: Eight) -> vec4<f32> {
    return k.lo * mat4x4<f32>(query[q], query[q + 1u], query[q + 2u], query[q + 3u])
        + k.hi * mat4x4<f32>(query[q + 8u], query[q + 9u], query[q + 10u], query[q + 11u]);
}

// The i-th eight dimensions of group `group`'s rows times those of a key.
fn products(group: u32, i: u32, k: Eight) -> Rows {
    let q = group * (2u * args.head_dim + 1u) + 16u * i;
    return Rows(products_of_four(q, k), products_of_four(q + 4u, k));
}

// Takes the scores of `n_keys` keys into tops, and says by how much that fades what was summed before.
fn raise_tops(thread: u32, n_columns: u32, n_keys: u32) {
    workgroupBarrier();
    if (thread < SLICES * n_columns) {
        var top = vec4<f32>(LEAST);
        for (var j = thread / n_columns; j < n_keys; j += SLICES) {
            top = max(top, scores[j * n_columns + thread % n_columns]);
        }
        slices[thread] = top;
    }
    workgroupBarrier();
    if (thread < n_columns) {
        var top = tops[thread];
        for (var s = 0u; s < SLICES; s++) {
            top = max(top, slices[s * n_columns + thread]);
        }
        fades[thread] = exp(tops[thread] - top);
        tops[thread] = top;
    }
    workgroupBarrier();
}

// Sums n of the scores a column into totals.
fn sum_totals(thread: u32, n_columns: u32, n: u32) {
    workgroupBarrier();
    if (thread < SLICES * n_columns) {
        var sum = vec4<f32>(0.0);
        for (var j = thread / n_columns; j < n; j += SLICES) {
            sum += scores[j * n_columns + thread % n_columns];
        }
        slices[thread] = sum;
    }
    workgroupBarrier();
    if (thread < n_columns) {
        var sum = vec4<f32>(0.0);
        for (var s = 0u; s < SLICES; s++) {
            sum += slices[s * n_columns + thread];
        }
        totals[thread] = sum;
    }
    workgroupBarrier();
}

// Each row's number times its column.
fn faded(sums: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(sums[0] * by.x, sums[1] * by.y, sums[2] * by.z, sums[3] * by.w);
}

fn outer(v: vec4<f32>, rows: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(v * rows.x, v * rows.y, v * rows.z, v * rows.w);
}

fn fade(sums: Sums, column: u32) -> Sums {
    let a = fades[column];
    let b = fades[column + 1u];
    return Sums(faded(sums.a_lo, a), faded(sums.a_hi, a), faded(sums.b_lo, b), faded(sums.b_hi, b));
}

// With a value of the weights at `at` of the scores.
fn plus(sums: Sums, v: Eight, at: u32) -> Sums {
    let a = scores[at];
    let b = scores[at + 1u];
    return Sums(sums.a_lo + outer(v.lo, a), sums.a_hi + outer(v.hi, a), sums.b_lo + outer(v.lo, b), sums.b_hi + outer(v.hi, b));
}
