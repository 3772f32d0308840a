// 32 consecutive weights of a row: a[i] holds 4i..4i+3, b[i] holds 16+4i..16+4i+3.
struct Group {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
}

// Bits `shift` and up, under `mask`, of each of a word's four bytes, lowest byte first.
fn fields(word: u32, shift: u32, mask: u32) -> vec4<u32> {
    return (vec4<u32>(word) >> (vec4<u32>(0u, 8u, 16u, 24u) + shift)) & vec4<u32>(mask);
}

// The same of 16 bytes, as numbers less `zero`.
fn field_matrix(q: vec4<u32>, shift: u32, mask: u32, zero: f32) -> mat4x4<f32> {
    return mat4x4<f32>(
        vec4<f32>(fields(q.x, shift, mask)) - zero,
        vec4<f32>(fields(q.y, shift, mask)) - zero,
        vec4<f32>(fields(q.z, shift, mask)) - zero,
        vec4<f32>(fields(q.w, shift, mask)) - zero,
    );
}

// 16 times each of the low 16 bits: the fifth bits of as many quants.
fn fifth_bits(bits: u32) -> mat4x4<f32> {
    let b = vec4<u32>(bits) >> vec4<u32>(0u, 1u, 2u, 3u);
    let one = vec4<u32>(1u);
    return 16.0 * mat4x4<f32>(
        vec4<f32>(b & one),
        vec4<f32>((b >> vec4<u32>(4u)) & one),
        vec4<f32>((b >> vec4<u32>(8u)) & one),
        vec4<f32>((b >> vec4<u32>(12u)) & one),
    );
}

// 16 signed bytes.
fn signed_matrix(q: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(bytes_i(q.x), bytes_i(q.y), bytes_i(q.z), bytes_i(q.w));
}

// The four bytes of a word as signed numbers, lowest first.
fn bytes_i(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// 16 equal numbers.
fn all_of(v: f32) -> mat4x4<f32> {
    let column = vec4<f32>(v);
    return mat4x4<f32>(column, column, column, column);
}

// The f16 in the low (0) or high (1) half of a word.
fn half(word: u32, which: u32) -> f32 {
    return unpack2x16float(word >> (16u * which)).x;
}

// IQ4's code book: -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113, kept plus 127 as bytes.
fn iq4(q: vec4<u32>) -> vec4<f32> {
    let in_second = (q & vec4<u32>(4u)) != vec4<u32>(0u);
    let below = select(vec4<u32>(0x3E2C1700u), vec4<u32>(0x75695C4Eu), in_second);
    let above = select(vec4<u32>(0xA5988C80u), vec4<u32>(0xF0D8C4B4u), in_second);
    let four = select(below, above, q > vec4<u32>(7u));
    return vec4<f32>((four >> ((q & vec4<u32>(3u)) * 8u)) & vec4<u32>(255u)) - 127.0;
}

// Code book entries of the nibbles at `shift` (0 or 4) of 16 bytes.
fn iq4_matrix(q: vec4<u32>, shift: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        iq4(fields(q.x, shift, 15u)),
        iq4(fields(q.y, shift, 15u)),
        iq4(fields(q.z, shift, 15u)),
        iq4(fields(q.w, shift, 15u)),
    );
}

// Scale and min of sub-block k (of 8) of Q4_K and Q5_K: six bits each, in 12 packed bytes.
fn scale_min(packed: vec3<u32>, k: u32) -> vec2<f32> {
    let byte = packed >> vec3<u32>(8u * (k % 4u));
    let first = byte.xy & vec2<u32>(63u);
    let second = (vec2<u32>(byte.z, byte.z >> 4u) & vec2<u32>(15u)) | ((byte.xy >> vec2<u32>(2u)) & vec2<u32>(48u));
    return vec2<f32>(select(first, second, k >= 4u));
}

fn dot_group(w: Group, x: Group) -> f32 {
    return dot(w.a[0], x.a[0]) + dot(w.a[1], x.a[1]) + dot(w.a[2], x.a[2]) + dot(w.a[3], x.a[3])
        + dot(w.b[0], x.b[0]) + dot(w.b[1], x.b[1]) + dot(w.b[2], x.b[2]) + dot(w.b[3], x.b[3]);
}
