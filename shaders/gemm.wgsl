// y = aᵀ b of plain f32: no model's product, but the plainest there is, which says how many operations an adapter does at best.
// A workgroup makes TILE rows by TILE columns of y, DEPTH terms of each sum at a time; a thread makes two by two squares of
// four by four. Sizes are whole tiles.
// + four vec4s from workgroup memory go into 64 multiplications
// + neighbouring threads read neighbouring vec4s, or the same

const TILE: u32 = 128u;
const DEPTH: u32 = 8u;
const THREADS: u32 = 256u;  // also vec4s of DEPTH rows of a tile
const SPAN: u32 = 16u;      // threads along a tile, and vec4s from a thread's first square to its second

struct Args {
    n_rows: u32,  // of y
    n_cols: u32,  // of y
    depth: u32,   // terms of a sum
}

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;        // [depth, n_rows]
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;        // [depth, n_cols]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;  // [n_rows, n_cols]

var<workgroup> tile_a: array<vec4<f32>, THREADS>;  // [DEPTH, TILE]
var<workgroup> tile_b: array<vec4<f32>, THREADS>;

// Four rows, a vec4 each.
fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(a.x * b, a.y * b, a.z * b, a.w * b);
}

fn store(square: mat4x4<f32>, row: u32, column: u32) {
    for (var i = 0u; i < 4u; i++) {
        y[(row * 4u + i) * (args.n_cols / 4u) + column] = square[i];
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first = group.xy * (TILE / 4u);  // column and row of the tile, in vec4s
    let column = thread % SPAN;
    let row = thread / SPAN;
    let line = thread / (TILE / 4u);
    let at = thread % (TILE / 4u);
    var near = mat4x4<f32>();
    var right = mat4x4<f32>();
    var below = mat4x4<f32>();
    var far = mat4x4<f32>();
    for (var d = 0u; d < args.depth; d += DEPTH) {
        tile_a[thread] = a[(d + line) * (args.n_rows / 4u) + first.y + at];
        tile_b[thread] = b[(d + line) * (args.n_cols / 4u) + first.x + at];
        workgroupBarrier();
        for (var i = 0u; i < THREADS; i += TILE / 4u) {
            let a_near = tile_a[i + row];
            let a_far = tile_a[i + row + SPAN];
            let b_near = tile_b[i + column];
            let b_far = tile_b[i + column + SPAN];
            near += outer(a_near, b_near);
            right += outer(a_near, b_far);
            below += outer(a_far, b_near);
            far += outer(a_far, b_far);
        }
        workgroupBarrier();
    }
    store(near, first.y + row, first.x + column);
    store(right, first.y + row, first.x + column + SPAN);
    store(below, first.y + row + SPAN, first.x + column);
    store(far, first.y + row + SPAN, first.x + column + SPAN);
}
