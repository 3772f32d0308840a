// A product in blocks of COLS columns by BLOCK_ROWS rows, for prompts on GPUs: a weight is unpacked once for all
// columns of a block, into workgroup memory. A thread makes four rows of four columns. A kernel says with
// weights_of what a row's weights are, and with four_of what a column's elements.
// + every 16 bytes from workgroup memory go into eight multiplications a component
// + a row there has one vec4 more than it holds, so that neighbouring threads read from other banks

const COLS: u32 = 32u;
const BLOCK_ROWS: u32 = 64u;
const THREADS: u32 = 128u;
const STRIDE: u32 = 9u;  // vec4s of a row of 32 elements

var<workgroup> block_w: array<vec4<f32>, BLOCK_ROWS * STRIDE>;
var<workgroup> block_x: array<vec4<f32>, COLS * STRIDE>;

// The first of a thread's rows in the block; the others are 16, 32 and 48 further.
fn first_row_of(thread: u32) -> u32 {
    return thread % 16u;
}

// The first of a thread's columns; the others are 8, 16 and 24 further.
fn first_column_of(thread: u32) -> u32 {
    return thread / 16u;
}

// Half of the threads unpack a row's weights each, the others bring half a column's elements each.
fn stage(group: vec2<u32>, thread: u32, g: u32) {
    if (thread < BLOCK_ROWS) {
        let w = weights_of(group, thread, g);
        let at = thread * STRIDE;
        for (var i = 0u; i < 4u; i++) {
            block_w[at + i] = w.a[i] * w.scale.x - w.min.x;
            block_w[at + 4u + i] = w.b[i] * w.scale.y - w.min.y;
        }
    } else {
        let column = (thread - BLOCK_ROWS) / 2u;
        let first = thread % 2u * 4u;
        for (var i = first; i < first + 4u; i++) {
            block_x[column * STRIDE + i] = four_of(group, column, g * 8u + i);
        }
    }
}

// What a thread makes: a column of the matrix has its four rows of one of its columns.
fn product(group: vec2<u32>, thread: u32, n_groups: u32) -> mat4x4<f32> {
    var sums = mat4x4<f32>();
    for (var g = 0u; g < n_groups; g++) {
        stage(group, thread, g);
        workgroupBarrier();
        for (var i = 0u; i < 8u; i++) {
            let r = first_row_of(thread) * STRIDE + i;
            let w = mat4x4<f32>(block_w[r], block_w[r + 16u * STRIDE], block_w[r + 32u * STRIDE], block_w[r + 48u * STRIDE]);
            let c = first_column_of(thread) * STRIDE + i;
            sums[0] += block_x[c] * w;
            sums[1] += block_x[c + 8u * STRIDE] * w;
            sums[2] += block_x[c + 16u * STRIDE] * w;
            sums[3] += block_x[c + 24u * STRIDE] * w;
        }
        workgroupBarrier();
    }
    return sums;
}
