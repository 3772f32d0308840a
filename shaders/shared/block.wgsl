// A product in blocks of COLS columns by BLOCK_ROWS rows, for prompts on GPUs: a weight is unpacked once for all
// columns of a block, into workgroup memory, 16 terms of each sum at a time. A thread makes eight rows of four columns. A
// kernel says with weights_of what a row's weights are, with first_four_of where a column begins, and with four_of what its elements are.
// + twelve times 16 bytes from workgroup memory go into 128 multiplications
// + a row there has one vec4 more than it holds, so that neighbouring threads read from other banks
// + eight kilobytes leave room for other workgroups, which compute while this one waits

const COLS: u32 = 32u;
const BLOCK_ROWS: u32 = 64u;
const THREADS: u32 = 64u;
const STRIDE: u32 = 5u;  // vec4s of a row of 16 elements

var<workgroup> block_w: array<vec4<f32>, BLOCK_ROWS * STRIDE>;
var<workgroup> block_x: array<vec4<f32>, COLS * STRIDE>;

// What a thread makes: a column of each matrix is one of its columns', with four of its rows.
struct Sums {
    low: mat4x4<f32>,
    high: mat4x4<f32>,
}

// The first of a thread's rows in the block; the others of `low` are 8, 16 and 24 further, those of `high` 32 more.
fn first_row_of(thread: u32) -> u32 {
    return thread % 8u;
}

// The first of a thread's columns; the others are 8, 16 and 24 further.
fn first_column_of(thread: u32) -> u32 {
    return thread / 8u;
}

// Each thread unpacks 16 weights of a row, and brings eight elements of a column, from the i-th four of it on.
fn stage(thread: u32, w: mat4x4<f32>, scale: f32, min: f32, column: u32, i: u32) {
    let row = thread * STRIDE;
    block_w[row] = w[0] * scale - min;
    block_w[row + 1u] = w[1] * scale - min;
    block_w[row + 2u] = w[2] * scale - min;
    block_w[row + 3u] = w[3] * scale - min;
    let half = thread % 2u * 2u;
    let at = thread / 2u * STRIDE + half;
    block_x[at] = four_of(column, i + half);
    block_x[at + 1u] = four_of(column, i + half + 1u);
}

// Four terms of a column's sums with four rows; w has a row's weights across its columns.
fn plus_terms(sum: vec4<f32>, w: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
    return fma(w[3], vec4<f32>(x.w), fma(w[2], vec4<f32>(x.z), fma(w[1], vec4<f32>(x.y), fma(w[0], vec4<f32>(x.x), sum))));
}

// The weights of four rows, four of each, from `at` of the block on.
fn four_rows(at: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(block_w[at], block_w[at + 8u * STRIDE], block_w[at + 16u * STRIDE], block_w[at + 24u * STRIDE]));
}

// With the terms that are staged.
fn plus_staged(thread: u32, sums: Sums) -> Sums {
    var low = sums.low;
    var high = sums.high;
    for (var i = 0u; i < 4u; i++) {
        let r = first_row_of(thread) * STRIDE + i;
        let w_low = four_rows(r);
        let w_high = four_rows(r + 32u * STRIDE);
        let c = first_column_of(thread) * STRIDE + i;
        let x = mat4x4<f32>(block_x[c], block_x[c + 8u * STRIDE], block_x[c + 16u * STRIDE], block_x[c + 24u * STRIDE]);
        low[0] = plus_terms(low[0], w_low, x[0]);
        low[1] = plus_terms(low[1], w_low, x[1]);
        low[2] = plus_terms(low[2], w_low, x[2]);
        low[3] = plus_terms(low[3], w_low, x[3]);
        high[0] = plus_terms(high[0], w_high, x[0]);
        high[1] = plus_terms(high[1], w_high, x[1]);
        high[2] = plus_terms(high[2], w_high, x[2]);
        high[3] = plus_terms(high[3], w_high, x[3]);
    }
    return Sums(low, high);
}

fn product(group: vec2<u32>, thread: u32, n_groups: u32) -> Sums {
    let column = first_four_of(group, thread / 2u);
    var sums = Sums();
    for (var g = 0u; g < n_groups; g++) {
        let w = weights_of(group, thread, g);
        stage(thread, w.a, w.scale.x, w.min.x, column, g * 8u);
        workgroupBarrier();
        sums = plus_staged(thread, sums);
        workgroupBarrier();
        stage(thread, w.b, w.scale.y, w.min.y, column, g * 8u + 4u);
        workgroupBarrier();
        sums = plus_staged(thread, sums);
        workgroupBarrier();
    }
    return sums;
}
