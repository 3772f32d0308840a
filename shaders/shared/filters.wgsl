// Where top-k, top-p and min-p end, by one workgroup. The bins say in which of them that is; the tokens down to there,
// seldom many, are gathered, and digit by digit of the scores' order it is found among them, so nothing is sorted.

// Bins a thread looks at.
const STRIDE: u32 = N_BINS / THREADS;

var<workgroup> n_candidates: atomic<u32>;
var<workgroup> digits: array<atomic<u32>, THREADS>;
var<workgroup> from_here: array<u32, THREADS>;
var<workgroup> up_to: array<f32, THREADS>;
var<workgroup> found: Cut;
var<workgroup> first_thread: atomic<u32>;

// Where a share of the tokens ends: in a bin, with so much of it.
struct Cut {
    bin: u32,
    need: u32,  // of the bin's tokens, or units of mass
}

// What is in a bin: tokens, or mass with the likeliest token as 1.
fn weight(bin: u32, of_mass: bool) -> f32 {
    if (of_mass) {
        return f32(atomicLoad(&bins[mass_at(bin)])) * exp(-f32(bin) / BINS_EACH) / MASS_UNITS;
    }
    return f32(atomicLoad(&bins[tally_at(bin)]));
}

// Sums over the bins up to each thread's last one.
fn sum_bins(thread: u32, of_mass: bool) {
    var mine = 0.0;
    for (var i = 0u; i < STRIDE; i++) {
        mine += weight(thread * STRIDE + i, of_mass);
    }
    up_to[thread] = mine;
    workgroupBarrier();
    for (var reach = 1u; reach < THREADS; reach *= 2u) {
        var more = 0.0;
        if (thread >= reach) {
            more = up_to[thread - reach];
        }
        workgroupBarrier();
        up_to[thread] += more;
        workgroupBarrier();
    }
}

// The bin where sums reach `enough`, after sum_bins.
fn find_bin(thread: u32, enough: f32, of_mass: bool) -> Cut {
    if (thread == 0u) {
        atomicStore(&first_thread, THREADS - 1u);
    }
    workgroupBarrier();
    if (up_to[thread] >= enough) {
        atomicMin(&first_thread, thread);
    }
    workgroupBarrier();
    if (thread == atomicLoad(&first_thread)) {
        var before = 0.0;
        if (thread > 0u) {
            before = up_to[thread - 1u];
        }
        var bin = thread * STRIDE;
        // Sums in another order may end a little lower.
        for (var i = 1u; i < STRIDE && before + weight(bin, of_mass) < enough; i++) {
            before += weight(bin, of_mass);
            bin++;
        }
        let of_bin = (enough - before) * select(1.0, exp(f32(bin) / BINS_EACH) * MASS_UNITS, of_mass);
        found = Cut(bin, u32(clamp(ceil(of_bin), 1.0, 4e9)));
    }
    workgroupBarrier();
    let cut = found;
    workgroupBarrier();
    return cut;
}

fn score_of(id: u32) -> f32 {
    return scores[row * args.n_vocab + id];
}

fn candidate(j: u32) -> u32 {
    return scan[slice_at(args.n_slices) + j];
}

fn candidate_weight(score: f32, top: f32, rate: f32, of_mass: bool) -> u32 {
    return select(1u, mass_of(score, top, rate), of_mass);
}

// The largest order from which on the candidates of a bin weigh `need`, or the least of them.
fn select_order(thread: u32, n: u32, bin: u32, need: u32, top: f32, rate: f32, of_mass: bool) -> u32 {
    var prefix = 0u;
    var left = need;
    for (var round = 0u; round < 4u; round++) {
        let shift = 24u - 8u * round;
        atomicStore(&digits[thread], 0u);
        if (thread == 0u) {
            // For a bin that weighs nothing: all of it.
            found = Cut(0u, 1u);
        }
        workgroupBarrier();
        for (var j = thread; j < n; j += THREADS) {
            let score = score_of(candidate(j));
            let o = order(score);
            if ((o >> shift) >> 8u == prefix && bin_of(score, top, rate) == bin) {
                atomicAdd(&digits[(o >> shift) & 255u], candidate_weight(score, top, rate, of_mass));
            }
        }
        workgroupBarrier();
        from_here[thread] = atomicLoad(&digits[thread]);
        workgroupBarrier();
        for (var reach = 1u; reach < THREADS; reach *= 2u) {
            var more = 0u;
            if (thread + reach < THREADS) {
                more = from_here[thread + reach];
            }
            workgroupBarrier();
            from_here[thread] += more;
            workgroupBarrier();
        }
        // A bin may have a little less: then it is its least.
        left = clamp(left, 1u, max(from_here[0], 1u));
        var above = 0u;
        if (thread + 1u < THREADS) {
            above = from_here[thread + 1u];
        }
        if (from_here[thread] >= left && above < left) {
            found = Cut(thread, left - above);
        }
        workgroupBarrier();
        prefix = (prefix << 8u) | found.bin;
        left = found.need;
        workgroupBarrier();
    }
    return prefix;
}

// Gathers what is in bins up to `last`; every thread gets how many.
fn gather(thread: u32, last: u32, top: f32, rate: f32) -> u32 {
    if (thread == 0u) {
        atomicStore(&n_candidates, 0u);
    }
    workgroupBarrier();
    for (var i = thread; i < args.n_vocab; i += THREADS) {
        if (bin_of(score_of(i), top, rate) <= last) {
            scan[slice_at(args.n_slices) + atomicAdd(&n_candidates, 1u)] = i;
        }
    }
    storageBarrier();
    workgroupBarrier();
    return atomicLoad(&n_candidates);
}

// Mass of a bin's candidates from `least` on.
fn mass_from(thread: u32, n: u32, bin: u32, least: u32, top: f32, rate: f32) -> f32 {
    atomicStore(&digits[0], 0u);
    workgroupBarrier();
    for (var j = thread; j < n; j += THREADS) {
        let score = score_of(candidate(j));
        if (order(score) >= least && bin_of(score, top, rate) == bin) {
            atomicAdd(&digits[0], mass_of(score, top, rate));
        }
    }
    workgroupBarrier();
    let mass = f32(atomicLoad(&digits[0])) * exp(-f32(bin) / BINS_EACH) / MASS_UNITS;
    workgroupBarrier();
    return mass;
}

// The best with noise of what the filters leave.
fn draw_filtered(thread: u32, top: f32, sampling: Sampling) -> u32 {
    let rate = partial(0u).rate;
    let has_k = sampling.top_k > 0u && sampling.top_k < args.n_vocab;
    let has_p = sampling.top_p < 1.0;
    var least = 0u;
    var last = N_BINS - 1u;
    if (sampling.min_p > 0.0) {
        let score = top + sampling.temperature * log(sampling.min_p);
        least = order(score);
        last = bin_of(score, top, rate);
    }
    var k = Cut(N_BINS - 1u, 0u);
    if (has_k) {
        sum_bins(thread, false);
        k = find_bin(thread, f32(sampling.top_k), false);
        last = min(last, k.bin);
    }
    if (has_p) {
        sum_bins(thread, true);
    }
    var p = Cut(N_BINS - 1u, 0u);
    if (has_p && !has_k) {
        p = find_bin(thread, sampling.top_p * up_to[THREADS - 1u], true);
        last = p.bin;
    }
    // In the last bin is what weighs nothing, as most do behind a mask: no noise would bring it up.
    let n = gather(thread, min(last, N_BINS - 2u), top, rate);
    if (has_k) {
        let kept = select_order(thread, n, k.bin, k.need, top, rate, false);
        least = max(least, kept);
        if (has_p) {
            // The mass of the bins before, and what is kept of the last.
            var mass = mass_from(thread, n, k.bin, kept, top, rate);
            let owner = k.bin / STRIDE;
            if (owner > 0u) {
                mass += up_to[owner - 1u];
            }
            for (var bin = owner * STRIDE; bin < k.bin; bin++) {
                mass += weight(bin, true);
            }
            p = find_bin(thread, sampling.top_p * mass, true);
        }
    }
    if (has_p) {
        least = max(least, select_order(thread, n, p.bin, p.need, top, rate, true));
    }
    least = min(least, order(top));
    var best = Best(LEAST, NONE);
    for (var j = thread; j < n; j += THREADS) {
        let id = candidate(j);
        if (order(score_of(id)) >= least) {
            best = better(best, Best(score_of(id) / sampling.temperature + gumbel(id), id));
        }
    }
    return reduce_best(thread, best).id;
}
