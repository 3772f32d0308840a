// Q4_K: a block is 8 groups of 32 nibbles, each with a 6-bit scale s and a 6-bit min m, and an f16 d
// and an f16 dmin; weight = d * s * q - dmin * m. Two groups share 32 bytes, a nibble each.
// quants: 128 B a block; scales: (s, m), 12 B a block, then (d, dmin), 4 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let scales = matrix * n_blocks * 4u;
    let block = g / 8u;
    let k = g % 8u;
    let packed = scales + block * 3u;
    let sm = scale_min(vec3<u32>(w_scales[packed], w_scales[packed + 1u], w_scales[packed + 2u]), k)
        * unpack2x16float(w_scales[scales + n_blocks * 3u + block]);
    let at = (matrix * n_blocks + block) * 8u + k / 2u * 2u;
    let shift = 4u * (k % 2u);
    return unsigned(fields(w_quants[at], shift, 15u), fields(w_quants[at + 1u], shift, 15u), sm.xx, sm.yy);
}
