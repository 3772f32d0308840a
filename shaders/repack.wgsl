// Gathers one plane of a run of raw blocks: bytes plane_offset .. + run_bytes of each block, end to
// end. One thread four words of the plane. Blocks begin at any byte; planes begin at words.

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

// Words that a thread makes.
const WORDS = 4u;

// Where byte `byte` of the plane's run is in raw.
fn place(byte: u32) -> u32 {
    return args.first_byte + byte / args.run_bytes * args.block_bytes + args.plane_offset + byte % args.run_bytes;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let first = (id.y * groups.x * 64u + id.x) * WORDS;
    let n_bytes = args.n_blocks * args.run_bytes;
    if (first * 4u >= n_bytes) {
        return;
    }
    if (args.run_bytes % (4u * WORDS) == 0u) {
        // All in one block: five words that lie side by side, shifted into four.
        let at = place(first * 4u);
        let shift = 8u * (at % 4u);
        var low = raw[at / 4u];
        for (var i = 0u; i < WORDS; i++) {
            let high = raw[at / 4u + i + 1u];
            plane[args.first_word + first + i] = (low >> shift) | select(high << (32u - shift), 0u, shift == 0u);
            low = high;
        }
        return;
    }
    for (var i = 0u; i < WORDS && (first + i) * 4u < n_bytes; i++) {
        var packed = 0u;
        for (var j = 0u; j < 4u; j++) {
            let byte = (first + i) * 4u + j;
            if (byte < n_bytes) {
                let at = place(byte);
                packed |= ((raw[at / 4u] >> (8u * (at % 4u))) & 255u) << (8u * j);
            }
        }
        plane[args.first_word + first + i] = packed;
    }
}
