// The sums of a tile's threads, SUMS at a time, by way of workgroup memory.

var<workgroup> partial: array<f32, THREADS * SUMS>;

// A thread's share of sum i.
fn put(thread: u32, i: u32, value: f32) {
    partial[i * THREADS + thread] = value;
}

// The sum i of a thread's tile, once all have put their shares.
fn total(thread: u32, i: u32) -> f32 {
    let at = i * THREADS + thread / LANES * LANES;
    var sum = 0.0;
    for (var l = 0u; l < LANES; l++) {
        sum += partial[at + l];
    }
    return sum;
}

// Once all have put their shares, and again before the next are put.
fn meet() {
    workgroupBarrier();
}
