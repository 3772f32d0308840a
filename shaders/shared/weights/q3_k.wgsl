// Q3_K: a block is 256 quants of two bits and their third bits, stored inverted; each 16 have a 6-bit
// scale s, the block an f16 d; weight = d * (s - 32) * (q - 4). Four groups share 32 bytes of quants,
// two bits each; all eight share 32 bytes of third bits.
// quants: 64 B a block; scales: third bits, 32 B a block, then s, 12 B a block, then d, 2 B a block.
fn w_words(at: u32) -> vec4<u32> {
    return vec4<u32>(w_scales[at], w_scales[at + 1u], w_scales[at + 2u], w_scales[at + 3u]);
}

fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let third = matrix * (n_blocks * 11u + (n_blocks + 1u) / 2u);
    let block = g / 8u;
    let k = g % 8u;
    let packed = third + n_blocks * 8u + block * 3u;
    let low = w_scales[packed + k % 4u / 2u] >> (16u * (k % 2u) + 4u * (k / 4u));
    let high = w_scales[packed + 2u] >> (16u * (k % 2u) + 2u * (k / 2u));
    let s = vec2<u32>(low & 15u, (low >> 8u) & 15u) | (vec2<u32>(high & 3u, (high >> 8u) & 3u) << vec2<u32>(4u));
    let d = half(w_scales[third + n_blocks * 11u + block / 2u], block % 2u) * (vec2<f32>(s) - 32.0);
    let at = (matrix * n_blocks + block) * 4u + k / 4u * 2u;
    let shift = 2u * (k % 4u);
    let bits = third + block * 8u;
    return unsigned(
        fields(w_quants[at], shift, 3u) | (fields(w_words(bits), k, 1u) << vec4<u32>(2u)),
        fields(w_quants[at + 1u], shift, 3u) | (fields(w_words(bits + 4u), k, 1u) << vec4<u32>(2u)),
        d,
        4.0 * d,
    );
}
