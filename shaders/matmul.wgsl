// y = W x: a workgroup makes 32 rows for COLS tokens. A thread takes 4 rows and every LANES-th group of
// 32 columns of theirs; the LANES threads of a tile of rows are added up at the end.
// + neighbouring threads read neighbouring 16-byte words of the same row
// + 32 elements of x serve 4 rows, a dequantised group serves COLS tokens
// + with RMS the norm costs no pass of its own: W (x * gain) is scaled by 1/rms(x) at the end

const LANES: u32 = 8u;
const TILES: u32 = 8u;
const THREADS: u32 = LANES * TILES;
const ROWS: u32 = TILES * 4u;

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

var<workgroup> partial: array<vec4<f32>, THREADS * COLS>;

#ifdef RMS
var<workgroup> squares: array<f32, THREADS * COLS>;
var<workgroup> inverse_rms: array<f32, COLS>;

fn normalize(thread: u32, first_token: u32) {
    let n = args.n_cols / 4u;
    for (var c = 0u; c < COLS; c++) {
        let row = x_row(first_token + c);
        var sum = 0.0;
        for (var i = thread; i < n; i += THREADS) {
            let v = x[row + i];
            sum += dot(v, v);
        }
        squares[c * THREADS + thread] = sum;
    }
    workgroupBarrier();
    if (thread < COLS) {
        var sum = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            sum += squares[thread * THREADS + i];
        }
        inverse_rms[thread] = inverseSqrt(sum / f32(args.n_cols) + args.eps);
    }
    workgroupBarrier();
}
#endif

// Where x of a token begins; past the last token it is the last one's, whose product is not kept.
fn x_row(token: u32) -> u32 {
    return (args.first_token + min(token, args.n_tokens - 1u)) * (args.n_cols / 4u);
}

fn x_group(token: u32, g: u32) -> Group {
    let at = x_row(token) + g * 8u;
    let a = mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    let b = mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
#ifdef RMS
    let i = g * 8u;
    return Group(
        mat4x4<f32>(a[0] * gain[i], a[1] * gain[i + 1u], a[2] * gain[i + 2u], a[3] * gain[i + 3u]),
        mat4x4<f32>(b[0] * gain[i + 4u], b[1] * gain[i + 5u], b[2] * gain[i + 6u], b[3] * gain[i + 7u]),
    );
#else
    return Group(a, b);
#endif
}

// Group g of a row of this part; past the last row it is the last one's.
fn row_group(row: u32, g: u32) -> Group {
    return w_group(0u, args.n_blocks, min(row, args.n_rows - 1u) * (args.n_cols / 32u) + g);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % LANES;
    let row = group.x * ROWS + thread / LANES * 4u;
    let first_token = group.y * COLS;
#ifdef RMS
    normalize(thread, first_token);
#endif

    var sum_0 = vec4<f32>(0.0);
#ifdef FOUR
    var sum_1 = vec4<f32>(0.0);
    var sum_2 = vec4<f32>(0.0);
    var sum_3 = vec4<f32>(0.0);
#endif
    for (var g = lane; g < args.n_cols / 32u; g += LANES) {
        let w_0 = row_group(row, g);
        let w_1 = row_group(row + 1u, g);
        let w_2 = row_group(row + 2u, g);
        let w_3 = row_group(row + 3u, g);
        var v = x_group(first_token, g);
        sum_0 += vec4<f32>(dot_group(w_0, v), dot_group(w_1, v), dot_group(w_2, v), dot_group(w_3, v));
#ifdef FOUR
        v = x_group(first_token + 1u, g);
        sum_1 += vec4<f32>(dot_group(w_0, v), dot_group(w_1, v), dot_group(w_2, v), dot_group(w_3, v));
        v = x_group(first_token + 2u, g);
        sum_2 += vec4<f32>(dot_group(w_0, v), dot_group(w_1, v), dot_group(w_2, v), dot_group(w_3, v));
        v = x_group(first_token + 3u, g);
        sum_3 += vec4<f32>(dot_group(w_0, v), dot_group(w_1, v), dot_group(w_2, v), dot_group(w_3, v));
#endif
    }
    partial[thread] = sum_0;
#ifdef FOUR
    partial[THREADS + thread] = sum_1;
    partial[2u * THREADS + thread] = sum_2;
    partial[3u * THREADS + thread] = sum_3;
#endif
    workgroupBarrier();

    // One thread a (token, tile) adds the lanes up.
    if (thread < TILES * COLS) {
        let c = thread / TILES;
        let tile = thread % TILES;
        let token = first_token + c;
        if (token >= args.n_tokens) {
            return;
        }
        var sum = vec4<f32>(0.0);
        for (var l = 0u; l < LANES; l++) {
            sum += partial[c * THREADS + tile * LANES + l];
        }
#ifdef RMS
        sum *= inverse_rms[c];
#endif
        for (var r = 0u; r < 4u; r++) {
            let out_row = group.x * ROWS + tile * 4u + r;
            if (out_row < args.n_rows) {
                var value = sum[r];
#ifdef BIAS
                value += bias[args.first_row + out_row];
#endif
                let at = token * args.y_stride + args.y_first + args.first_row + out_row;
#ifdef RESIDUAL
                y[at] += value;
#else
                y[at] = value;
#endif
            }
        }
    }
}
