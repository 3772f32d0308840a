// y = W x, of one token, of four, or with BLOCK of 32. With RMS the norm costs no pass of its own: W (x * gain) is scaled by
// 1/rms(x) at the end.

#ifdef BLOCK
const ROWS: u32 = BLOCK_ROWS;  // of a workgroup
#else
#ifdef WIDE
const THREAD_ROWS: u32 = 4u;
#else
#ifdef FOUR
const THREAD_ROWS: u32 = 16u;
#else
const THREAD_ROWS: u32 = 8u;
#endif
#endif
const ROWS: u32 = ROW_TILES * THREAD_ROWS;  // of a workgroup
#endif

struct Args {
    n_cols: u32,    // elements of a row of W
    n_rows: u32,    // of W, or of this part of it
    n_tokens: u32,
    first_token: u32, // row of x that the first token reads
    n_blocks: u32,  // of W, or of this part of it, in blocks of the format
    first_row: u32, // of this part in W
    y_stride: u32,  // elements from one token's y to the next
    y_first: u32,   // element of a token's y that row 0 of W goes to
    eps: f32,       // of the norm
}

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;  // [.., n_cols]
@group(0) @binding(2) var<storage, read> w_quants: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> w_scales: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [n_tokens, y_stride]
#ifdef RMS
@group(0) @binding(5) var<storage, read> gain: array<vec4<f32>>;  // [n_cols]
#ifdef BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;  // [n_rows] of the whole W
#endif
#else
@group(0) @binding(5) var<storage, read> bias: array<f32>;  // [n_rows] of the whole W
#endif

#import group
#import weights as w

// Where x of a token begins; past the last token it is the last one's, whose product is not kept.
fn x_row(token: u32) -> u32 {
    return (args.first_token + min(token, args.n_tokens - 1u)) * (args.n_cols / 4u);
}

// The first four elements of x of a column of a workgroup's.
fn first_four_of(group: vec2<u32>, column: u32) -> u32 {
    return x_row(group.y * COLS + column);
}

// Group g of a row of this part; past the last row it is the last one's.
fn row_group(row: u32, g: u32) -> Weights {
    return w_group(0u, args.n_blocks, min(row, args.n_rows - 1u) * (args.n_cols / 32u) + g);
}

// Takes the sum of a row for a token to y, times the inverse rms.
fn store(token: u32, row: u32, sum: f32, inverse_rms: f32) {
    let at = token * args.y_stride + args.y_first + args.first_row + row;
    var value = sum;
#ifdef RMS
    value *= inverse_rms;
#endif
#ifdef BIAS
    value += bias[args.first_row + row];
#endif
#ifdef RESIDUAL
    y[at] += value;
#else
    y[at] = value;
#endif
}

#ifdef STAGED
#ifdef RMS
// Of those elements of x that this thread brought.
var<private> squared: f32;
#endif

// The i-th four elements of a row of x that begins at `first`.
fn four_of(first: u32, i: u32) -> vec4<f32> {
    let v = x[first + i];
#ifdef RMS
    squared += dot(v, v);
    return v * gain[i];
#else
    return v;
#endif
}
#endif

#ifdef BLOCK
#import block

fn weights_of(group: vec2<u32>, row: u32, g: u32) -> Weights {
    return row_group(group.x * ROWS + row, g);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let sums = product(group.xy, thread, args.n_cols / 32u);
#ifdef RMS
    block_x[thread].x = squared;
    workgroupBarrier();
#endif
    for (var c = 0u; c < 4u; c++) {
        let column = first_column_of(thread) + 8u * c;
#ifdef RMS
        let mean = (block_x[2u * column].x + block_x[2u * column + 1u].x) / f32(args.n_cols);
        let scale = inverseSqrt(mean + args.eps);
#else
        let scale = 1.0;
#endif
        let token = group.y * COLS + column;
        for (var r = 0u; r < 8u; r++) {
            let row = group.x * ROWS + first_row_of(thread) + 8u * r;
            if (token < args.n_tokens && row < args.n_rows) {
                store(token, row, select(sums.low[c][r % 4u], sums.high[c][r % 4u], r >= 4u), scale);
            }
        }
    }
}
#else
#import columns

#ifdef STAGED
#ifdef RMS
// 1/rms of x, all of which came by here.
fn inverse_rms(thread: u32, first_token: u32) -> Sum {
    workgroupBarrier();
    staged[thread].x = squared;
    workgroupBarrier();
    var sum = 0.0;
    for (var tile = 0u; tile < ROW_TILES; tile++) {
        sum += staged[tile * LANES + thread % LANES].x;
    }
    put(thread, 0u, sum);
    meet();
    let squares = total(thread, 0u);
    meet();
    return inverseSqrt(squares / f32(args.n_cols) + args.eps);
}
#endif

fn columns(first_token: u32, g: u32) -> Columns {
    return staged_group(g);
}
#else
#ifdef RMS
var<workgroup> tile_squares: array<f32, COLS * ROW_TILES>;

// 1/rms of each token's x.
fn inverse_rms(thread: u32, first_token: u32) -> Sum {
    var sum = Sum();
    for (var i = thread; i < args.n_cols / 4u; i += THREADS) {
        sum += squares(first_token, i);
    }
    for (var c = 0u; c < COLS; c++) {
        put(thread, c, part(sum, c));
    }
    meet();
    for (var c = thread % LANES; c < COLS; c += LANES) {
        tile_squares[c * ROW_TILES + thread / LANES] = total(thread, c);
    }
    workgroupBarrier();
    var squared = Sum();
    for (var tile = 0u; tile < ROW_TILES; tile++) {
#ifdef FOUR
        squared += Sum(tile_squares[tile], tile_squares[ROW_TILES + tile], tile_squares[2u * ROW_TILES + tile], tile_squares[3u * ROW_TILES + tile]);
#else
        squared += tile_squares[tile];
#endif
    }
    return inverseSqrt(squared / f32(args.n_cols) + args.eps);
}

// Of four elements.
fn squares(first_token: u32, i: u32) -> Sum {
    let a = x[x_row(first_token) + i];
#ifdef FOUR
    let b = x[x_row(first_token + 1u) + i];
    let c = x[x_row(first_token + 2u) + i];
    let d = x[x_row(first_token + 3u) + i];
    return Sum(dot(a, a), dot(b, b), dot(c, c), dot(d, d));
#else
    return dot(a, a);
#endif
}
#endif

fn x_group(token: u32, g: u32) -> Group {
    let at = x_row(token) + g * 8u;
    let a = mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    let b = mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
#ifdef RMS
    let i = g * 8u;
    return group_of(
        mat4x4<f32>(a[0] * gain[i], a[1] * gain[i + 1u], a[2] * gain[i + 2u], a[3] * gain[i + 3u]),
        mat4x4<f32>(b[0] * gain[i + 4u], b[1] * gain[i + 5u], b[2] * gain[i + 6u], b[3] * gain[i + 7u]),
    );
#else
    return group_of(a, b);
#endif
}

fn columns(first_token: u32, g: u32) -> Columns {
#ifdef FOUR
    return Columns(x_group(first_token, g), x_group(first_token + 1u, g), x_group(first_token + 2u, g), x_group(first_token + 3u, g));
#else
    return x_group(first_token, g);
#endif
}
#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group.x * ROWS + thread / LANES * THREAD_ROWS;
    let first_token = group.y * COLS;
    let n_groups = args.n_cols / 32u;
    var sums = array<Sum, THREAD_ROWS>();
    for (var begin = 0u; begin < n_groups; begin += AT_ONCE) {
        bring(thread, first_four_of(group.xy, 0u), begin, n_groups);
        for (var g = begin + thread % LANES; g < min(begin + AT_ONCE, n_groups); g += LANES) {
            let v = columns(first_token, g);
            for (var r = 0u; r < THREAD_ROWS; r++) {
                sums[r] += dots(row_group(row + r, g), v);
            }
        }
    }
#ifdef RMS
    let scale = inverse_rms(thread, first_token);
#else
    let scale = Sum(1.0);
#endif
    for (var first = 0u; first < THREAD_ROWS; first += SUMS / COLS) {
        for (var i = 0u; i < SUMS; i++) {
            put(thread, i, part(sums[first + i / COLS], i % COLS));
        }
        meet();
        for (var i = thread % LANES; i < SUMS; i += LANES) {
            let column = i % COLS;
            let out_row = row + first + i / COLS;
            if (out_row < args.n_rows && first_token + column < args.n_tokens) {
                store(first_token + column, out_row, total(thread, i), part(scale, column));
            }
        }
        meet();
    }
}
#endif
