// F16: 64 B a group, no scales.
fn w_four(q: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y));
}

fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let at = matrix * (n_blocks / 8u) + g * 4u;
    let p = w_quants[at];
    let q = w_quants[at + 1u];
    let r = w_quants[at + 2u];
    let s = w_quants[at + 3u];
    return plain(
        mat4x4<f32>(w_four(p.xy), w_four(p.zw), w_four(q.xy), w_four(q.zw)),
        mat4x4<f32>(w_four(r.xy), w_four(r.zw), w_four(s.xy), w_four(s.zw)),
    );
}
