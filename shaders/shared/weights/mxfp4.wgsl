// MXFP4: a block is 32 nibbles and a power of two 2^(e-128); weight = K[nibble] * 2^(e-128), where K
// is twice the E2M1 value. quants: 16 B a block; scales: e, 1 B a block.

// Magnitudes 0 1 2 3 4 6 8 12 are the lower three bits of a nibble and what is missing to them: 0 0 0 0 0 1 2 5.
fn w_e2m1_doubled(q: vec4<u32>) -> vec4<u32> {
    let one = vec4<u32>(0x01010101u);
    let m = q & (one * 7u);
    let low = m & (((q >> vec4<u32>(2u)) & one) * 3u);
    let both = low & (low >> vec4<u32>(1u)) & one;
    let magnitude = m + low + both * 2u;
    // Two's complement, byte by byte: all bits turned, and one added. It would carry out of a 0, which stays.
    let negative = (q >> vec4<u32>(3u)) & (m | (m >> vec4<u32>(1u)) | (m >> vec4<u32>(2u))) & one;
    return (magnitude ^ (negative * 255u)) + negative;
}

fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let e = (w_scales[matrix * ((n_blocks + 3u) / 4u) + g / 4u] >> (8u * (g % 4u))) & 255u;
    // Exponents 0 and 1 are subnormal in f32; they may count as zero.
    let d = bitcast<f32>((max(e, 1u) - 1u) << 23u);
    let q = w_quants[matrix * n_blocks + g];
    return signed(w_e2m1_doubled(fields(q, 0u, 15u)), w_e2m1_doubled(fields(q, 4u, 15u)), vec2<f32>(d), vec2<f32>(0.0));
}
