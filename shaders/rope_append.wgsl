// Rotates q and k by position and appends k and v to the cache; one thread makes two neighbouring
// elements, which are one word of an f16 cache.

struct Args {
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    n_rot: u32,         // elements of a head that are rotated, from its start
    interleaved: u32,   // 0: pairs (i, i + n_rot/2); 1: pairs (2i, 2i + 1)
    capacity: u32,      // positions the cache holds; a position lives at position % capacity
    concentration: f32, // YaRN's factor on cosine and sine
}

#import step
#import rope

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;          // [n_tokens, n_heads + 2 n_kv_heads, head_dim]
@group(0) @binding(3) var<storage, read> low: array<vec2<f32>>;    // [BASE, n_rot/2] cos, sin of position % BASE
@group(0) @binding(4) var<storage, read> high: array<vec2<f32>>;   // [.., n_rot/2] of BASE * (position / BASE)
@group(0) @binding(5) var<storage, read_write> q: array<vec2<f32>>; // [n_tokens, n_heads, head_dim/2]
#ifdef KV_F16
@group(0) @binding(6) var<storage, read_write> k_cache: array<u32>; // [capacity, n_kv_heads, head_dim/2]
@group(0) @binding(7) var<storage, read_write> v_cache: array<u32>;
#else
@group(0) @binding(6) var<storage, read_write> k_cache: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> v_cache: array<vec2<f32>>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let words = args.head_dim / 2u;
    let head = id.x / words;
    let word = id.x % words;
    let n_all = args.n_heads + 2u * args.n_kv_heads;
    if (head >= n_all) {
        return;
    }
    let position = step.position + id.y;
    let first = (id.y * n_all + head) * args.head_dim;
    let e = word * 2u;
    if (head < args.n_heads) {
        q[(id.y * args.n_heads + head) * words + word] = vec2<f32>(rotated(first, e, position), rotated(first, e + 1u, position));
        return;
    }
    let row = (position % args.capacity) * args.n_kv_heads;
    if (head < args.n_heads + args.n_kv_heads) {
        let k = vec2<f32>(rotated(first, e, position), rotated(first, e + 1u, position));
        let at = (row + head - args.n_heads) * words + word;
#ifdef KV_F16
        k_cache[at] = pack2x16float(k);
#else
        k_cache[at] = k;
#endif
    } else {
        let v = vec2<f32>(qkv[first + e], qkv[first + e + 1u]);
        let at = (row + head - args.n_heads - args.n_kv_heads) * words + word;
#ifdef KV_F16
        v_cache[at] = pack2x16float(v);
#else
        v_cache[at] = v;
#endif
    }
}
