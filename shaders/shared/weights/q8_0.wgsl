// Q8_0: a block is 32 signed bytes and an f16 scale d; weight = d * q.
// quants: 32 B a block; scales: d, 2 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let d = half(w_scales[matrix * ((n_blocks + 1u) / 2u) + g / 2u], g % 2u);
    let at = (matrix * n_blocks + g) * 2u;
    return signed(w_quants[at], w_quants[at + 1u], vec2<f32>(d), vec2<f32>(0.0));
}
