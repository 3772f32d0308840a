// MXFP4: a block is 32 nibbles and a power of two 2^(e-128); weight = K[nibble] * 2^(e-128), where K
// is twice the E2M1 value. quants: 16 B a block; scales: e, 1 B a block.

// Of all nibbles of a word, the sign bit aside: magnitudes 0 1 2 3 4 6 8 12 are the lower three bits and what is missing to
// them: 0 0 0 0 0 1 2 5.
fn w_magnitudes(q: vec4<u32>) -> vec4<u32> {
    let one = vec4<u32>(0x11111111u);
    let large = (q >> vec4<u32>(2u)) & one;
    let low = q & (large | (large << vec4<u32>(1u)));
    let both = low & (low >> vec4<u32>(1u)) & one;
    return (q & (one * 7u)) + low + (both << vec4<u32>(1u));
}

// 15 more than what magnitudes under signs are, which lie `shift` bits up in each byte.
fn w_above_least(magnitudes: vec4<u32>, q: vec4<u32>, shift: u32) -> vec4<u32> {
    let negative = fields(q, shift + 3u, 1u);
    let mask = (negative << vec4<u32>(4u)) - negative;
    return (fields(magnitudes, shift, 15u) ^ mask) + (vec4<u32>(0x0F0F0F0Fu) - mask);
}

fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let e = (w_scales[matrix * ((n_blocks + 3u) / 4u) + g / 4u] >> (8u * (g % 4u))) & 255u;
    // Exponents 0 and 1 are subnormal in f32; they may count as zero.
    let d = bitcast<f32>((max(e, 1u) - 1u) << 23u);
    let q = w_quants[matrix * n_blocks + g];
    let magnitudes = w_magnitudes(q);
    return unsigned(w_above_least(magnitudes, q, 0u), w_above_least(magnitudes, q, 4u), vec2<f32>(d), vec2<f32>(15.0 * d));
}
