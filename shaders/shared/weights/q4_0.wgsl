// Q4_0: a block is 32 nibbles and an f16 scale d; weight = d * (q - 8).
// quants: 16 B a block; scales: d, 2 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let d = half(w_scales[matrix * ((n_blocks + 1u) / 2u) + g / 2u], g % 2u);
    let q = w_quants[matrix * n_blocks + g];
    return unsigned(fields(q, 0u, 15u), fields(q, 4u, 15u), vec2<f32>(d), vec2<f32>(8.0 * d));
}
