// Sorts the choices of all tokens by expert and cuts them into tiles of up to COLS, one expert each. One
// workgroup, a thread an expert: its choices stay in their order. Choices that missed or are done get no
// tile, tiles that are not needed get no slot.

const THREADS: u32 = 256u;
#ifdef BLOCK
const COLS: u32 = 32u;
#else
const COLS: u32 = 4u;
#endif

struct Args {
    n_choices: u32,  // of all tokens
    n_experts: u32,  // at most THREADS
}

#import route
#import tile

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> routes: array<Route>;      // [n_choices]
@group(0) @binding(2) var<storage, read_write> tiles: array<Tile>;  // enough for however the choices fall

fn put_header(tile: u32, expert: u32, slot: u32, n_choices: u32) {
    tiles[tile].expert = expert;
    tiles[tile].slot = slot;
    tiles[tile].n_choices = n_choices;
}

var<workgroup> n_tiles: array<u32, THREADS>;  // of each expert

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) expert: u32) {
    // lavapipe makes a program anew for each dispatch whose loops end where uniforms alone say.
    let n_choices = min(args.n_choices, arrayLength(&routes));
    var n = 0u;
    if (expert < args.n_experts) {
        for (var i = 0u; i < n_choices; i++) {
            n += u32(routes[i].expert == expert && routes[i].slot < DONE);
        }
    }
    n_tiles[expert] = (n + COLS - 1u) / COLS;
    workgroupBarrier();
    var first = 0u;
    var total = 0u;
    for (var e = 0u; e < args.n_experts; e++) {
        first += select(0u, n_tiles[e], e < expert);
        total += n_tiles[e];
    }

    var c = 0u;
    for (var i = 0u; i < n_choices && n > 0u; i++) {
        if (routes[i].expert == expert && routes[i].slot < DONE) {
            if (c == 0u) {
                put_header(first, expert, routes[i].slot, min(n, COLS));
                for (var j = 0u; j < COLS / 4u; j++) {
                    tiles[first].choices[j] = vec4<u32>(i);
                }
            }
            tiles[first].choices[c / 4u][c % 4u] = i;
            c += 1u;
            n -= 1u;
            if (c == COLS) {
                first += 1u;
                c = 0u;
            }
        }
    }
    let most = (n_choices + (COLS - 1u) * min(args.n_experts, n_choices)) / COLS;
    for (var i = total + expert; i < most; i += THREADS) {
        put_header(i, 0u, MISS, 0u);
    }
}
