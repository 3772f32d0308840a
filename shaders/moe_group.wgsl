// Sorts the choices of all tokens by expert and cuts them into tiles of up to four, one expert each. One
// workgroup, a thread an expert: its choices stay in their order. Choices that missed or are done get no
// tile, tiles that are not needed get no slot.

const THREADS: u32 = 256u;
const COLS: u32 = 4u;

struct Args {
    n_choices: u32,  // of all tokens
    n_experts: u32,  // at most THREADS
    n_tiles: u32,    // enough for however the choices fall
}

#import route
#import tile

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<storage, read> routes: array<Route>;      // [n_choices]
@group(0) @binding(2) var<storage, read_write> tiles: array<Tile>;  // [n_tiles]

var<workgroup> n_tiles: array<u32, THREADS>;  // of each expert

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) expert: u32) {
    var n = 0u;
    if (expert < args.n_experts) {
        for (var i = 0u; i < args.n_choices; i++) {
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

    var tile = Tile(expert, MISS, 0u, 0u, vec4<u32>(0u));
    for (var i = 0u; i < args.n_choices && n > 0u; i++) {
        if (routes[i].expert == expert && routes[i].slot < DONE) {
            if (tile.n_choices == 0u) {
                tile.choices = vec4<u32>(i);
                tile.slot = routes[i].slot;
            }
            tile.choices[tile.n_choices] = i;
            tile.n_choices += 1u;
            n -= 1u;
            if (tile.n_choices == COLS || n == 0u) {
                tiles[first] = tile;
                first += 1u;
                tile.n_choices = 0u;
            }
        }
    }
    for (var i = total + expert; i < args.n_tiles; i += THREADS) {
        tiles[i] = Tile(0u, MISS, 0u, 0u, vec4<u32>(0u));
    }
}
