// Counts tokens and their probability by bins, a slice of the vocabulary a workgroup, for top-k and top-p.

const THREADS: u32 = 256u;

struct Args {
    n_vocab: u32,
    slice: u32,     // ids a workgroup
    n_slices: u32,
    n_words: u32,   // a row has in scan
    first_row: u32, // of the step
}

#import step
#import sampling
#import draw
#import bins

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> samplings: array<Sampling, MAX_SEQUENCES>;
@group(0) @binding(2) var<uniform> steps: Steps;
@group(0) @binding(3) var<storage, read> scores: array<f32>;  // [rows, n_vocab]
@group(0) @binding(4) var<storage, read> scan: array<u32>;
@group(0) @binding(5) var<storage, read_write> bins: array<atomic<u32>>;

var<workgroup> tallies: array<atomic<u32>, N_BINS>;
var<workgroup> masses: array<atomic<u32>, N_BINS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    row = group.y;
    let sequence = sequence_of(group.y);
    let sampling = samplings[sequence];
    if (steps.each[step_of(group.y)].halt != 0u || !filters(sampling)) {
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
        let bin = bin_of(scores[row * args.n_vocab + i], top, rate);
        atomicAdd(&tallies[bin], 1u);
        atomicAdd(&masses[bin], mass_of(scores[row * args.n_vocab + i], top, rate));
    }
    workgroupBarrier();
    for (var bin = thread; bin < N_BINS; bin += THREADS) {
        let n = atomicLoad(&tallies[bin]);
        if (n > 0u) {
            atomicAdd(&bins[tally_at(bin)], n);
            atomicAdd(&bins[mass_at(bin)], atomicLoad(&masses[bin]));
        }
    }
}
