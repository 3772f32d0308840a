// The sums of a tile's threads, SUMS at a time, where they lie in one subgroup, side by side.

// Whole sums.
var<private> sums_of_tile: vec4<f32>;

// A thread's share of sum i.
fn put(thread: u32, i: u32, value: f32) {
    var sum = value;
    for (var apart = 1u; apart < LANES; apart *= 2u) {
        sum += subgroupShuffleXor(sum, apart);
    }
    sums_of_tile[i] = sum;
}

// The sum i of a thread's tile.
fn total(thread: u32, i: u32) -> f32 {
    return sums_of_tile[i];
}

fn meet() {}
