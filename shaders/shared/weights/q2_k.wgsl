// Q2_K: a block is 256 quants of two bits; each 16 have a 4-bit scale s and a 4-bit min m, the block
// an f16 d and an f16 dmin; weight = d * s * q - dmin * m. Four groups share 32 bytes, two bits each.
// quants: 64 B a block; scales: (s, m), 16 B a block, then (d, dmin), 4 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let scales = matrix * n_blocks * 5u;
    let block = g / 8u;
    let k = g % 8u;
    let sm = w_scales[scales + block * 4u + k / 2u] >> (16u * (k % 2u));
    let d = unpack2x16float(w_scales[scales + n_blocks * 4u + block]);
    let s = d.x * vec2<f32>((vec2<u32>(sm) >> vec2<u32>(0u, 8u)) & vec2<u32>(15u));
    let m = d.y * vec2<f32>((vec2<u32>(sm) >> vec2<u32>(4u, 12u)) & vec2<u32>(15u));
    let at = (matrix * n_blocks + block) * 4u + k / 4u * 2u;
    let shift = 2u * (k % 4u);
    return unsigned(fields(w_quants[at], shift, 3u), fields(w_quants[at + 1u], shift, 3u), s, m);
}
