// Gathers one plane of a run of raw blocks: bytes plane_offset .. + run_bytes of each block, end to
// end. One thread a word of the plane. Blocks begin at any byte; planes begin at words.

struct Args {
    block_bytes: u32,
    plane_offset: u32,  // of the plane's bytes in a block
    run_bytes: u32,     // of the plane in a block
    n_blocks: u32,
    first_word: u32,    // of plane that block 0 goes to
    first_byte: u32,    // of raw that block 0 is at
}

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> plane: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let word = id.y * groups.x * 64u + id.x;
    let n_bytes = args.n_blocks * args.run_bytes;
    if (word * 4u >= n_bytes) {
        return;
    }
    var packed = 0u;
    for (var i = 0u; i < 4u; i++) {
        let byte = word * 4u + i;
        if (byte < n_bytes) {
            let at = args.first_byte + byte / args.run_bytes * args.block_bytes + args.plane_offset + byte % args.run_bytes;
            packed |= ((raw[at / 4u] >> (8u * (at % 4u))) & 255u) << (8u * i);
        }
    }
    plane[args.first_word + word] = packed;
}
