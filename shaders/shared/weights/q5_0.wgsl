// Q5_0: a block is 32 nibbles, their 32 fifth bits and an f16 scale d; weight = d * (q - 16).
// quants: nibbles, 16 B a block; scales: fifth bits, 4 B a block, then d, 2 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let scales = matrix * (n_blocks + (n_blocks + 1u) / 2u);
    let high = w_scales[scales + g];
    let d = half(w_scales[scales + n_blocks + g / 2u], g % 2u);
    let q = w_quants[matrix * n_blocks + g];
    return unsigned(fields(q, 0u, 15u) | fifth_bits(high), fields(q, 4u, 15u) | fifth_bits(high >> 16u), vec2<f32>(d), vec2<f32>(16.0 * d));
}
