// F32: 128 B a group, no scales.
fn w_group(matrix: u32, n_blocks: u32, g: u32) -> Weights {
    let at = matrix * (n_blocks / 4u) + g * 8u;
    return plain(
        mat4x4<f32>(
            bitcast<vec4<f32>>(w_quants[at]),
            bitcast<vec4<f32>>(w_quants[at + 1u]),
            bitcast<vec4<f32>>(w_quants[at + 2u]),
            bitcast<vec4<f32>>(w_quants[at + 3u]),
        ),
        mat4x4<f32>(
            bitcast<vec4<f32>>(w_quants[at + 4u]),
            bitcast<vec4<f32>>(w_quants[at + 5u]),
            bitcast<vec4<f32>>(w_quants[at + 6u]),
            bitcast<vec4<f32>>(w_quants[at + 7u]),
        ),
    );
}
