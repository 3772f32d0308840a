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

const AT_ONCE: u32 = THREADS * 4u;  // choices
const NOBODY: u32 = 0xFFFFFFFFu;

var<workgroup> n_tiles: array<u32, THREADS>;        // of each expert
var<workgroup> wanted: array<vec4<u32>, THREADS>;   // experts of AT_ONCE choices; NOBODY for those without a tile

fn wanted_by(choice: u32, n_choices: u32) -> u32 {
    let route = routes[min(choice, n_choices - 1u)];
    return select(NOBODY, route.expert, choice < n_choices && route.slot < DONE);
}

// Four choices a thread, for all to look at.
fn bring(thread: u32, begin: u32, n_choices: u32) {
    let at = begin + 4u * thread;
    workgroupBarrier();
    wanted[thread] = vec4<u32>(
        wanted_by(at, n_choices),
        wanted_by(at + 1u, n_choices),
        wanted_by(at + 2u, n_choices),
        wanted_by(at + 3u, n_choices),
    );
    workgroupBarrier();
}

// Fours that were brought.
fn n_fours(begin: u32, n_choices: u32) -> u32 {
    return (min(AT_ONCE, n_choices - begin) + 3u) / 4u;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) expert: u32) {
    // lavapipe makes a program anew for each dispatch whose loops end where uniforms alone say.
    let n_choices = min(args.n_choices, arrayLength(&routes));
    var n = 0u;
    for (var begin = 0u; begin < n_choices; begin += AT_ONCE) {
        bring(expert, begin, n_choices);
        for (var i = 0u; i < n_fours(begin, n_choices); i++) {
            let mine = vec4<u32>(wanted[i] == vec4<u32>(expert));
            n += mine.x + mine.y + mine.z + mine.w;
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
    for (var begin = 0u; begin < n_choices; begin += AT_ONCE) {
        bring(expert, begin, n_choices);
        for (var four = 0u; four < n_fours(begin, n_choices); four++) {
            let mine = wanted[four] == vec4<u32>(expert);
            if (!any(mine)) {
                continue;
            }
            for (var i = 0u; i < 4u; i++) {
                if (!mine[i]) {
                    continue;
                }
                let choice = begin + 4u * four + i;
                if (c == 0u) {
                    put_header(first, expert, routes[choice].slot, min(n, COLS));
                    for (var j = 0u; j < COLS / 4u; j++) {
                        tiles[first].choices[j] = vec4<u32>(choice);
                    }
                }
                tiles[first].choices[c / 4u][c % 4u] = choice;
                c += 1u;
                n -= 1u;
                if (c == COLS) {
                    first += 1u;
                    c = 0u;
                }
            }
        }
    }
    let most = (n_choices + (COLS - 1u) * min(args.n_experts, n_choices)) / COLS;
    for (var i = total + expert; i < most; i += THREADS) {
        put_header(i, 0u, MISS, 0u);
    }
}
