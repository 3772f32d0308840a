// Readies routes for the next group of experts: a choice that had its slot is done, one that missed is
// looked up in the table once more.

struct Args {
    n_routes: u32,
    n_experts: u32,
    layer: u32,
}

#import route

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> table: array<u32>;  // [n_layers, n_experts]: slot or MISS
@group(0) @binding(2) var<storage, read_write> routes: array<Route>;  // [n_routes]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= args.n_routes) {
        return;
    }
    let route = routes[id.x];
    let slot = table[args.layer * args.n_experts + route.expert];
    routes[id.x].slot = select(DONE, slot, route.slot == MISS);
}
