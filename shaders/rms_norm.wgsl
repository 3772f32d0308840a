// y = x / rms(x) * gain, one workgroup a token.

const THREADS: u32 = 64u;

struct Args {
    n_cols: u32,  // a multiple of 4
    eps: f32,
}

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;     // [n_tokens, n_cols]
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;  // [n_cols]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

#import rms

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let n = args.n_cols / 4u;
    let first = group.x * n;
    let scale = inverse_rms(thread, first);
    for (var i = thread; i < n; i += THREADS) {
        y[first + i] = x[first + i] * scale * gain[i];
    }
}
