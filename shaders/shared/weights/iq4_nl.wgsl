// IQ4_NL: a block is 32 nibbles, indices into a code book, and an f16 scale d; weight = d * iq4(q).
// quants: 16 B a block; scales: d, 2 B a block.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let d = half(w_scales[matrix * ((n_blocks + 1u) / 2u) + g / 2u], g % 2u);
    let q = w_quants[matrix * n_blocks + g];
    return signed(iq4(fields(q, 0u, 15u)), iq4(fields(q, 4u, 15u)), vec2<f32>(d), vec2<f32>(0.0));
}
