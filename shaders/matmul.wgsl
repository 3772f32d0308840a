// y = W x: one workgroup makes ROWS rows for COLS tokens; LANES threads share a row, each takes every
// LANES-th group of 32 weights.
// + neighbouring threads read neighbouring 16-byte words of the same row
// + one dequantised group serves COLS tokens
// + with RMS the norm costs no pass of its own: W (x * gain) is scaled by 1/rms(x) at the end

const ROWS: u32 = 8u;
const LANES: u32 = 8u;

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

var<workgroup> partial: array<f32, ROWS * LANES * COLS>;

#ifdef RMS
var<workgroup> inverse_rms: array<f32, COLS>;

fn normalize(thread: u32, first_token: u32) {
    let n = args.n_cols / 4u;
    for (var c = 0u; c < COLS; c++) {
        let token = args.first_token + min(first_token + c, args.n_tokens - 1u);
        var sum = 0.0;
        for (var i = thread; i < n; i += ROWS * LANES) {
            let v = x[token * n + i];
            sum += dot(v, v);
        }
        partial[c * ROWS * LANES + thread] = sum;
    }
    workgroupBarrier();
    if (thread < COLS) {
        var sum = 0.0;
        for (var i = 0u; i < ROWS * LANES; i++) {
            sum += partial[thread * ROWS * LANES + i];
        }
        inverse_rms[thread] = inverseSqrt(sum / f32(args.n_cols) + args.eps);
    }
    workgroupBarrier();
}
#endif

@compute @workgroup_size(ROWS * LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % LANES;
    let row = group.x * ROWS + thread / LANES;
    let first_token = group.y * COLS;
    let n_groups = args.n_cols / 32u;
#ifdef RMS
    normalize(thread, first_token);
#endif

    var sums: array<f32, COLS>;
    if (row < args.n_rows) {
        for (var g = lane; g < n_groups; g += LANES) {
            var w = w_group(0u, args.n_blocks, row * n_groups + g);
#ifdef RMS
            for (var i = 0u; i < 4u; i++) {
                w.a[i] *= gain[g * 8u + i];
                w.b[i] *= gain[g * 8u + 4u + i];
            }
#endif
            for (var c = 0u; c < COLS; c++) {
                let at = ((args.first_token + min(first_token + c, args.n_tokens - 1u)) * n_groups + g) * 8u;
                sums[c] += dot(w.a[0], x[at]) + dot(w.a[1], x[at + 1u]) + dot(w.a[2], x[at + 2u]) + dot(w.a[3], x[at + 3u])
                    + dot(w.b[0], x[at + 4u]) + dot(w.b[1], x[at + 5u]) + dot(w.b[2], x[at + 6u]) + dot(w.b[3], x[at + 7u]);
            }
        }
    }
    for (var c = 0u; c < COLS; c++) {
        partial[c * ROWS * LANES + thread] = sums[c];
    }
    workgroupBarrier();

    // One thread a (token, row) adds the lanes up.
    for (var i = thread; i < ROWS * COLS; i += ROWS * LANES) {
        let c = i / ROWS;
        let r = i % ROWS;
        let out_row = group.x * ROWS + r;
        let token = first_token + c;
        if (out_row < args.n_rows && token < args.n_tokens) {
            var sum = 0.0;
            for (var l = 0u; l < LANES; l++) {
                sum += partial[c * ROWS * LANES + r * LANES + l];
            }
#ifdef RMS
            sum *= inverse_rms[c];
#endif
#ifdef BIAS
            sum += bias[args.first_row + out_row];
#endif
            let at = token * args.y_stride + args.y_first + args.first_row + out_row;
#ifdef RESIDUAL
            y[at] += sum;
#else
            y[at] = sum;
#endif
        }
    }
}
