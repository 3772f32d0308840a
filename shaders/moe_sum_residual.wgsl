// x += sum over a token's choices, in their order, of weight * y. A choice whose expert is missing adds
// nothing. One thread an element, so the sum is the same wherever the experts lie.

struct Args {
    n_rows: u32,  // elements of x
    n_used: u32,  // choices a token
}

#import route

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> y: array<f32>;         // [n_tokens, n_used, n_rows]
@group(0) @binding(2) var<storage, read> routes: array<Route>;  // [n_tokens, n_used]
@group(0) @binding(3) var<storage, read_write> x: array<f32>;   // [n_tokens, n_rows]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= args.n_rows) {
        return;
    }
    var sum = 0.0;
    for (var k = group.y * args.n_used; k < (group.y + 1u) * args.n_used; k++) {
        if (routes[k].slot != MISS) {
            sum += routes[k].weight * y[k * args.n_rows + id.x];
        }
    }
    x[group.y * args.n_rows + id.x] += sum;
}
