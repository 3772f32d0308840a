use super::sample::filters;
use super::{Call, Error};
use crate::ops::{N_BINS, PARTIAL, SampleBinsArgs, Sampling};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: SampleBinsArgs = call.args();
    let [sampling, step, scores, scan] = call.bindings()?;
    let sampling: Sampling = sampling.read();
    if step.u(2) != 0 || !filters(&sampling, args.n_vocab) {
        return Ok(());
    }
    let top = (0..args.n_slices).map(|slice| scan.f(2 * N_BINS + slice * PARTIAL)).fold(f32::MIN, f32::max);
    let rate = (32.0 / sampling.temperature).min(1e30);
    for i in 0..args.n_vocab {
        let bins = (top - scores.f(i)) * rate;
        let bin = bins.min(N_BINS as f32 - 1.0) as u32;
        let mass = 8192.0 * ((bin as f32 - bins.min(1e6)) / 32.0).exp() + 0.5;
        for (at, more) in [(bin, 1), (N_BINS + bin, mass as u32)] {
            scan.set_u(at, scan.u(at).wrapping_add(more));
        }
    }
    Ok(())
}
