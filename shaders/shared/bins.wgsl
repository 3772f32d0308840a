// Bins of probability, the likeliest first. A kernel has sampling and scan.

// Of a score, by its distance from the top. Every kernel takes the factor that one of them computed.
fn bin_of(score: f32, top: f32, rate: f32) -> u32 {
    return u32(min((top - score) * rate, f32(N_BINS) - 1.0));
}

// Of a score in its bin; a whole number, so that a sum does not depend on its order.
fn mass_of(score: f32, top: f32, rate: f32) -> u32 {
    let bins = min((top - score) * rate, 1e6);
    return u32(MASS_UNITS * exp((min(floor(bins), f32(N_BINS) - 1.0) - bins) / BINS_EACH) + 0.5);
}
