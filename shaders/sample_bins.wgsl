// Counts tokens and their probability by bins, a slice of the vocabulary a workgroup, for top-k and top-p.

const THREADS: u32 = 256u;

struct Args {
    n_vocab: u32,
    slice: u32,     // ids a workgroup
    n_slices: u32,
}

#import step
#import sampling
#import draw
#import bins

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> sampling: Sampling;
@group(0) @binding(2) var<uniform> step: Step;
@group(0) @binding(3) var<storage, read> scores: array<f32>;  // [n_vocab]
@group(0) @binding(4) var<storage, read_write> scan: Scan;

var<workgroup> tallies: array<atomic<u32>, N_BINS>;
var<workgroup> masses: array<atomic<u32>, N_BINS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if (step.halt != 0u || !filters()) {
        return;
    }
    var best = Best(LEAST, NONE);
    if (thread < args.n_slices) {
        best = partial(thread).score;
    }
    let top = reduce_best(thread, best).score;
    let rate = partial(0u).rate;
    for (var bin = thread; bin < N_BINS; bin += THREADS) {
        atomicStore(&tallies[bin], 0u);
        atomicStore(&masses[bin], 0u);
    }
    workgroupBarrier();
    let first = group.x * args.slice;
    for (var i = first + thread; i < min(first + args.slice, args.n_vocab); i += THREADS) {
        let bin = bin_of(scores[i], top, rate);
        atomicAdd(&tallies[bin], 1u);
        atomicAdd(&masses[bin], mass_of(scores[i], top, rate));
    }
    workgroupBarrier();
    for (var bin = thread; bin < N_BINS; bin += THREADS) {
        let n = atomicLoad(&tallies[bin]);
        if (n > 0u) {
            atomicAdd(&scan.tallies[bin], n);
            atomicAdd(&scan.masses[bin], atomicLoad(&masses[bin]));
        }
    }
}
