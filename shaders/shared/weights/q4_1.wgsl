// Q4_1: a block is 32 nibbles, an f16 scale d and an f16 offset m; weight = d * q + m.
// quants: 16 B a block; scales: (d, m), 4 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let at = matrix * n_blocks + g;
    let dm = unpack2x16float(w_scales[at]);
    let q = w_quants[at];
    return unsigned(fields(q, 0u, 15u), fields(q, 4u, 15u), dm.xx, -dm.yy);
}
