// Q5_1: a block is 32 nibbles, their 32 fifth bits, an f16 scale d and an f16 offset m;
// weight = d * q + m.
// quants: nibbles, 16 B a block; scales: fifth bits, 4 B a block, then (d, m), 4 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let scales = matrix * n_blocks * 2u;
    let high = w_scales[scales + g];
    let dm = unpack2x16float(w_scales[scales + n_blocks + g]);
    let q = w_quants[matrix * n_blocks + g];
    return unsigned(fields(q, 0u, 15u) | fifth_bits(high), fields(q, 4u, 15u) | fifth_bits(high >> 16u), dm.xx, -dm.yy);
}
