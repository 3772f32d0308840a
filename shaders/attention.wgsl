// One query head of one token a workgroup, over keys in tiles of THREADS: a thread first scores one
// key, then gathers one dimension of the values. Online softmax; it starts from the sink, which takes
// part in the sum and has no value.

const THREADS: u32 = 64u;
const MAX_HEAD_DIM: u32 = 256u;

struct Args {
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,  // a multiple of 8
    capacity: u32,  // positions the cache holds
    window: u32,    // keys that a query sees, itself included
    scale: f32,
}

#import step

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;  // [n_tokens, n_heads, head_dim]
#ifdef KV_F16
@group(0) @binding(3) var<storage, read> k_cache: array<vec4<u32>>;  // [capacity, n_kv_heads, head_dim]
@group(0) @binding(4) var<storage, read> v_cache: array<u32>;
#else
@group(0) @binding(3) var<storage, read> k_cache: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v_cache: array<f32>;
#endif
@group(0) @binding(5) var<storage, read> sinks: array<f32>;         // [n_heads]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;     // [n_tokens, n_heads, head_dim]

var<workgroup> query: array<vec4<f32>, MAX_HEAD_DIM / 4u>;
var<workgroup> scores: array<f32, THREADS>;

// q . k of the key in the cache's row `row` (position and head).
fn score(row: u32) -> f32 {
    var sum = 0.0;
#ifdef KV_F16
    for (var i = 0u; i < args.head_dim / 8u; i++) {
        let k = k_cache[row * (args.head_dim / 8u) + i];
        sum += dot(query[2u * i], vec4<f32>(unpack2x16float(k.x), unpack2x16float(k.y)))
            + dot(query[2u * i + 1u], vec4<f32>(unpack2x16float(k.z), unpack2x16float(k.w)));
    }
#else
    for (var i = 0u; i < args.head_dim / 4u; i++) {
        sum += dot(query[i], k_cache[row * (args.head_dim / 4u) + i]);
    }
#endif
    return sum * args.scale;
}

fn value(row: u32, dim: u32) -> f32 {
#ifdef KV_F16
    return unpack2x16float(v_cache[row * (args.head_dim / 2u) + dim / 2u])[dim % 2u];
#else
    return v_cache[row * args.head_dim + dim];
#endif
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let head = group.x;
    let kv_head = head / (args.n_heads / args.n_kv_heads);
    let position = step.position + group.y;
    let at = (group.y * args.n_heads + head) * args.head_dim;
    for (var i = thread; i < args.head_dim / 4u; i += THREADS) {
        query[i] = q[at / 4u + i];
    }
    workgroupBarrier();

    var top = sinks[head];
    var total = 1.0;
    var acc = array<f32, MAX_HEAD_DIM / THREADS>();
    let first = position + 1u - min(args.window, position + 1u);
    for (var tile = first; tile <= position; tile += THREADS) {
        let n_keys = min(THREADS, position + 1u - tile);
        if (thread < n_keys) {
            scores[thread] = score(((tile + thread) % args.capacity) * args.n_kv_heads + kv_head);
        }
        workgroupBarrier();
        var new_top = top;
        for (var j = 0u; j < n_keys; j++) {
            new_top = max(new_top, scores[j]);
        }
        workgroupBarrier();
        if (thread < n_keys) {
            scores[thread] = exp(scores[thread] - new_top);
        }
        workgroupBarrier();
        let fade = exp(top - new_top);
        top = new_top;
        total *= fade;
        for (var j = 0u; j < n_keys; j++) {
            total += scores[j];
        }
        for (var i = 0u; i * THREADS < args.head_dim; i++) {
            let dim = i * THREADS + thread;
            if (dim < args.head_dim) {
                var sum = acc[i] * fade;
                for (var j = 0u; j < n_keys; j++) {
                    sum += scores[j] * value(((tile + j) % args.capacity) * args.n_kv_heads + kv_head, dim);
                }
                acc[i] = sum;
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i * THREADS < args.head_dim; i++) {
        let dim = i * THREADS + thread;
        if (dim < args.head_dim) {
            out[at + dim] = acc[i] / total;
        }
    }
}
