// Joins what flash_decode found in the parts of the keys of one query head, of one row of the step.

const THREADS: u32 = 64u;

struct Args {
    n_heads: u32,
    head_dim: u32,
    window: u32,
    n_parts: u32,
    first_row: u32,  // of the step
}

#import step
#import parts

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> steps: Steps;
@group(0) @binding(2) var<storage, read> parts: array<vec4<f32>>;      // of each row sums, then tops and totals
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;  // [rows, n_heads, head_dim]

var<workgroup> tops: array<f32, MAX_PARTS>;
var<workgroup> weights: array<f32, MAX_PARTS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let head = group.x;
    let row = group.y;
    let step = steps.each[step_of(row)];
    if (step.halt != 0u) {
        return;
    }
    let n_seen = n_seen_at(step.position);
    let n = (n_seen + part_keys(n_seen) - 1u) / part_keys(n_seen);
    let n_fours = args.head_dim / 4u;
    let first = row * args.n_parts * args.n_heads * (n_fours + 1u);
    var found = vec4<f32>(0.0);
    if (thread < n) {
        found = parts[first + args.n_parts * args.n_heads * n_fours + thread * args.n_heads + head];
        tops[thread] = found.x;
    }
    workgroupBarrier();
    var top = tops[0];
    for (var p = 1u; p < n; p++) {
        top = max(top, tops[p]);
    }
    let weight = exp(found.x - top);
    workgroupBarrier();
    if (thread < n) {
        weights[thread] = weight;
        tops[thread] = weight * found.y;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var p = 0u; p < n; p++) {
        total += tops[p];
    }
    for (var i = thread; i < n_fours; i += THREADS) {
        var sum = vec4<f32>(0.0);
        for (var p = 0u; p < n; p++) {
            sum += weights[p] * parts[first + (p * args.n_heads + head) * n_fours + i];
        }
        out[(row * args.n_heads + head) * n_fours + i] = sum / total;
    }
}
