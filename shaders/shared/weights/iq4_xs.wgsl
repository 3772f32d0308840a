// IQ4_XS: a block is 8 groups of 32 nibbles, indices into a code book, each with a 6-bit scale s, and
// an f16 scale d; weight = d * (s - 32) * iq4(q).
// quants: 128 B a block; scales: low four bits of each s, 4 B a block, then (d, 8 times the high two
// bits of s), 4 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let block = matrix * n_blocks * 2u + g / 8u;
    let k = g % 8u;
    let low = w_scales[block] >> (4u * k);
    let rest = w_scales[block + n_blocks];
    let s = (low & 15u) | (((rest >> (16u + 2u * k)) & 3u) << 4u);
    let d = half(rest, 0u) * (f32(s) - 32.0);
    let q = w_quants[matrix * n_blocks * 8u + g];
    return signed(iq4(fields(q, 0u, 15u)), iq4(fields(q, 4u, 15u)), vec2<f32>(d), vec2<f32>(0.0));
}
