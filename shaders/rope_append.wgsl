// Rotates q and k of one sequence's tokens by position and appends k and v to the cache: one head of one token a
// workgroup.

const THREADS: u32 = 32u;

struct Args {
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    n_rot: u32,         // elements of a head that are rotated, from its start
    interleaved: u32,   // 0: pairs (i, i + n_rot/2); 1: pairs (2i, 2i + 1)
    capacity: u32,      // positions the cache holds of a sequence; a position lives at position % capacity
    n_sequences: u32,   // that the cache holds
    first_row: u32,     // of the step
    concentration: f32, // YaRN's factor on cosine and sine
}

#import step
#import rope
#import kv

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> steps: Steps;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;          // [n_tokens, n_heads + 2 n_kv_heads, head_dim]
@group(0) @binding(3) var<storage, read> low: array<vec2<f32>>;    // [BASE, n_rot/2] cos, sin of position % BASE
@group(0) @binding(4) var<storage, read> high: array<vec2<f32>>;   // [.., n_rot/2] of BASE * (position / BASE)
@group(0) @binding(5) var<storage, read_write> q: array<vec4<f32>>;   // [n_tokens, n_heads, head_dim]
@group(0) @binding(6) var<storage, read_write> k_cache: array<Cell>;  // [n_sequences, capacity, n_kv_heads, head_dim]
@group(0) @binding(7) var<storage, read_write> v_cache: array<Cell>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let head = group.x;
    let token = group.y;
    let n_turned = args.n_heads + args.n_kv_heads;
    let sequence = sequence_of(token);
    let position = steps.each[sequence].position + token;
    let first = (token * (n_turned + args.n_kv_heads) + head) * args.head_dim;
    for (var i = thread; i < args.head_dim / 4u; i += THREADS) {
        let e = 4u * i;
        if (head < n_turned) {
            staged[i] = vec4<f32>(
                rotated(first, e, position),
                rotated(first, e + 1u, position),
                rotated(first, e + 2u, position),
                rotated(first, e + 3u, position),
            );
        } else {
            staged[i] = vec4<f32>(qkv[first + e], qkv[first + e + 1u], qkv[first + e + 2u], qkv[first + e + 3u]);
        }
        if (head < args.n_heads) {
            q[(token * args.n_heads + head) * (args.head_dim / 4u) + i] = staged[i];
        }
    }
    workgroupBarrier();
    let row = (sequence * args.capacity + position % args.capacity) * args.n_kv_heads;
    for (var i = thread; i < args.head_dim / 8u; i += THREADS) {
        if (head >= n_turned) {
            keep_value(row + head - n_turned, i, 0u);
        } else if (head >= args.n_heads) {
            keep_key(row + head - args.n_heads, i, 0u);
        }
    }
}
