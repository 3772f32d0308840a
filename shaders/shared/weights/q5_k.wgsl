// Q5_K: Q4_K with fifth bits; weight = d * s * q - dmin * m. Two groups share 32 bytes of nibbles, all
// eight share 32 bytes of fifth bits.
// quants: nibbles, 128 B a block; scales: fifth bits, 32 B a block, then (s, m), 12 B a block, then
// (d, dmin), 4 B a block.
fn w_words(at: u32) -> vec4<u32> {
    return vec4<u32>(w_scales[at], w_scales[at + 1u], w_scales[at + 2u], w_scales[at + 3u]);
}

fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let fifth = matrix * n_blocks * 12u;
    let block = g / 8u;
    let k = g % 8u;
    let packed = fifth + n_blocks * 8u + block * 3u;
    let sm = scale_min(vec3<u32>(w_scales[packed], w_scales[packed + 1u], w_scales[packed + 2u]), k)
        * unpack2x16float(w_scales[fifth + n_blocks * 11u + block]);
    let at = (matrix * n_blocks + block) * 8u + k / 2u * 2u;
    let shift = 4u * (k % 2u);
    let bits = fifth + block * 8u;
    return unsigned(
        fields(w_quants[at], shift, 15u) | (fields(w_words(bits), k, 1u) << vec4<u32>(4u)),
        fields(w_quants[at + 1u], shift, 15u) | (fields(w_words(bits + 4u), k, 1u) << vec4<u32>(4u)),
        sm.xx,
        sm.yy,
    );
}
