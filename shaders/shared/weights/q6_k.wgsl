// Q6_K: a block is 256 quants of six bits, the upper two apart; each 16 have a signed byte s as scale,
// the block an f16 d; weight = d * s * (q - 32). In each half of a block, groups 0 and 2, and 1 and 3,
// share 32 bytes of nibbles; all four share 32 bytes of upper bits.
// quants: nibbles, 128 B a block; scales: upper bits, 64 B a block, then s, 16 B a block, then d, 2 B.
fn w_words(at: u32) -> vec4<u32> {
    return vec4<u32>(w_scales[at], w_scales[at + 1u], w_scales[at + 2u], w_scales[at + 3u]);
}

fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let upper = matrix * (n_blocks * 20u + (n_blocks + 1u) / 2u);
    let block = g / 8u;
    let k = g % 8u;
    let s = bytes_i(w_scales[upper + n_blocks * 16u + block * 4u + k / 2u] >> (16u * (k % 2u))).xy;
    let d = half(w_scales[upper + n_blocks * 20u + block / 2u], block % 2u) * s;
    let at = (matrix * n_blocks + block) * 8u + k / 4u * 4u + k % 2u * 2u;
    let shift = 4u * (k / 2u % 2u);
    let bits = upper + block * 16u + k / 4u * 8u;
    let pair = 2u * (k % 4u);
    return signed(
        less(fields(w_quants[at], shift, 15u) | (fields(w_words(bits), pair, 3u) << vec4<u32>(4u)), 32u),
        less(fields(w_quants[at + 1u], shift, 15u) | (fields(w_words(bits + 4u), pair, 3u) << vec4<u32>(4u)), 32u),
        d,
        vec2<f32>(0.0),
    );
}
