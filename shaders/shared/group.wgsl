// 32 consecutive elements of x: a[i] holds 4i..4i+3, b[i] holds 16+4i..16+4i+3.
struct Group {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
    sums: vec2<f32>,  // of a and of b
}

fn group_of(a: mat4x4<f32>, b: mat4x4<f32>) -> Group {
    let one = vec4<f32>(1.0);
    return Group(a, b, vec2<f32>(dot(a[0] + a[1] + a[2] + a[3], one), dot(b[0] + b[1] + b[2] + b[3], one)));
}

// 32 consecutive weights of a row: scale.x * a - min.x, scale.y * b - min.y.
struct Weights {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
    scale: vec2<f32>,
    min: vec2<f32>,
}

fn dot_group(w: Weights, x: Group) -> f32 {
    return w.scale.x * dot_matrix(w.a, x.a) + w.scale.y * dot_matrix(w.b, x.b) - dot(w.min, x.sums);
}

fn dot_matrix(w: mat4x4<f32>, x: mat4x4<f32>) -> f32 {
    return dot(w[0], x[0]) + dot(w[1], x[1]) + dot(w[2], x[2]) + dot(w[3], x[3]);
}

// Weights that are their own numbers.
fn plain(a: mat4x4<f32>, b: mat4x4<f32>) -> Weights {
    return Weights(a, b, vec2<f32>(1.0), vec2<f32>(0.0));
}

// Weights from signed bytes, four a word, lowest first.
fn signed(a: vec4<u32>, b: vec4<u32>, scale: vec2<f32>, min: vec2<f32>) -> Weights {
    return Weights(signed_matrix(a), signed_matrix(b), scale, min);
}

// Weights from bytes without a sign, four a word, lowest first. Many GPUs take a byte of a word as they make a float of it.
fn unsigned(a: vec4<u32>, b: vec4<u32>, scale: vec2<f32>, min: vec2<f32>) -> Weights {
    return Weights(
        mat4x4<f32>(bytes_u(a.x), bytes_u(a.y), bytes_u(a.z), bytes_u(a.w)),
        mat4x4<f32>(bytes_u(b.x), bytes_u(b.y), bytes_u(b.z), bytes_u(b.w)),
        scale,
        min,
    );
}

// The four bytes of a word, lowest first.
fn bytes_u(word: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

// 16 signed bytes.
fn signed_matrix(q: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(bytes_i(q.x), bytes_i(q.y), bytes_i(q.z), bytes_i(q.w));
}

// The four bytes of a word as signed numbers, lowest first.
fn bytes_i(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// Bits `shift` and up, under `mask`, of each of 16 bytes.
fn fields(q: vec4<u32>, shift: u32, mask: u32) -> vec4<u32> {
    return (q >> vec4<u32>(shift)) & vec4<u32>(mask * 0x01010101u);
}

// 16 bytes from 0 to 127, less `zero`, which is no more than 128.
fn less(q: vec4<u32>, zero: u32) -> vec4<u32> {
    let sign = vec4<u32>(0x80808080u);
    return ((q | sign) - vec4<u32>(zero * 0x01010101u)) ^ sign;
}

// Each of the low 16 bits as a byte, 16 if it is set: the fifth bits of as many quants.
fn fifth_bits(bits: u32) -> vec4<u32> {
    let four = (vec4<u32>(bits) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
    // Bit i times 2^(7 i), among others, is bit 8 i.
    return ((four * 0x00204081u) & vec4<u32>(0x01010101u)) << vec4<u32>(4u);
}

// The f16 in the low (0) or high (1) half of a word.
fn half(word: u32, which: u32) -> f32 {
    return unpack2x16float(word >> (16u * which)).x;
}

// IQ4's code book, -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113, at four nibbles that lie in bytes.
fn iq4_word(nibbles: u32) -> u32 {
    let q = (vec4<u32>(nibbles) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
    let in_second = (q & vec4<u32>(4u)) != vec4<u32>(0u);
    let below = select(vec4<u32>(0xBFAD9881u), vec4<u32>(0xF6EADDCFu), in_second);
    let above = select(vec4<u32>(0x26190D01u), vec4<u32>(0x71594535u), in_second);
    let four = select(below, above, q > vec4<u32>(7u));
    let byte = ((four >> ((q & vec4<u32>(3u)) * 8u)) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    return byte.x | byte.y | byte.z | byte.w;
}

// Code book entries of 16 nibbles that lie in bytes.
fn iq4(q: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(iq4_word(q.x), iq4_word(q.y), iq4_word(q.z), iq4_word(q.w));
}

// Scale and min of sub-block k (of 8) of Q4_K and Q5_K: six bits each, in 12 packed bytes.
fn scale_min(packed: vec3<u32>, k: u32) -> vec2<f32> {
    let byte = packed >> vec3<u32>(8u * (k % 4u));
    let first = byte.xy & vec2<u32>(63u);
    let second = (vec2<u32>(byte.z, byte.z >> 4u) & vec2<u32>(15u)) | ((byte.xy >> vec2<u32>(2u)) & vec2<u32>(48u));
    return vec2<f32>(select(first, second, k >= 4u));
}
