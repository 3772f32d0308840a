use super::sample::filters;
use super::sample_scan::sampling_of;
use super::step::StepRows;
use super::{Call, Error};
use crate::ops::{N_BINS, PARTIAL, SampleBinsArgs};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: SampleBinsArgs = call.args();
    let [samplings, steps, scores, scan, bins] = call.bindings()?;
    let steps = StepRows::of(steps, args.first_row);
    for row in 0..call.workgroups[1] {
        let sampling = sampling_of(samplings, steps.sequence(row));
        if steps.step(row).halt != 0 || !filters(&sampling, args.n_vocab) {
            continue;
        }
        let (words, scores) = (scan.from(row * args.n_words), scores.from(row * args.n_vocab));
        let top = (0..args.n_slices).map(|slice| words.f(slice * PARTIAL)).fold(f32::MIN, f32::max);
        let rate = (32.0 / sampling.temperature).min(1e30);
        for i in 0..args.n_vocab {
            let far = (top - scores.f(i)) * rate;
            let bin = far.min(N_BINS as f32 - 1.0) as u32;
            let mass = 8192.0 * ((bin as f32 - far.min(1e6)) / 32.0).exp() + 0.5;
            for (at, more) in [(2 * row * N_BINS + bin, 1), ((2 * row + 1) * N_BINS + bin, mass as u32)] {
                bins.set_u(at, bins.u(at).wrapping_add(more));
            }
        }
    }
    Ok(())
}
