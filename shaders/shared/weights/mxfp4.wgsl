// MXFP4: a block is 32 nibbles and a power of two 2^(e-128); weight = K[nibble] * 2^(e-128), where K
// is twice the E2M1 value. quants: 16 B a block; scales: e, 1 B a block.
fn w_e2m1_doubled(q: vec4<u32>) -> vec4<f32> {
    // Magnitudes 0 1 2 3 4 6 8 12 are the nibbles of one word; bit 3 of q is the sign.
    let magnitude = (vec4<u32>(0xC8643210u) >> ((q & vec4<u32>(7u)) * 4u)) & vec4<u32>(15u);
    return vec4<f32>(magnitude) * (1.0 - 2.0 * vec4<f32>(q >> vec4<u32>(3u)));
}

fn w_nibbles(q: vec4<u32>, shift: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        w_e2m1_doubled(fields(q.x, shift, 15u)),
        w_e2m1_doubled(fields(q.y, shift, 15u)),
        w_e2m1_doubled(fields(q.z, shift, 15u)),
        w_e2m1_doubled(fields(q.w, shift, 15u)),
    );
}

fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Group {
    let e = (w_scales[matrix * ((n_blocks + 3u) / 4u) + g / 4u] >> (8u * (g % 4u))) & 255u;
    // Exponents 0 and 1 are subnormal in f32; they may count as zero.
    let d = bitcast<f32>((max(e, 1u) - 1u) << 23u);
    let q = w_quants[matrix * n_blocks + g];
    return Group(d * w_nibbles(q, 0u), d * w_nibbles(q, 4u));
}
