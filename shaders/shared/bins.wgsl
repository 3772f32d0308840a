// Bins of probability, the likeliest first. A kernel has bins, [rows, 2, N_BINS]: tokens in each bin, and their
// probability in units of the bin's; zero between steps.

fn tally_at(bin: u32) -> u32 {
    return row * 2u * N_BINS + bin;
}

fn mass_at(bin: u32) -> u32 {
    return tally_at(bin) + N_BINS;
}

// Of a score, by its distance from the top. Every kernel takes the factor that one of them computed.
fn bin_of(score: f32, top: f32, rate: f32) -> u32 {
    return u32(min((top - score) * rate, f32(N_BINS) - 1.0));
}

// Of a score in its bin; a whole number, so that a sum does not depend on its order.
fn mass_of(score: f32, top: f32, rate: f32) -> u32 {
    let far = min((top - score) * rate, 1e6);
    return u32(MASS_UNITS * exp((min(floor(far), f32(N_BINS) - 1.0) - far) / BINS_EACH) + 0.5);
}
