use super::{Call, Error, Words};
use crate::ops::RmsNormArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: RmsNormArgs = call.args();
    let [x, gain, y] = call.bindings()?;
    for token in 0..call.workgroups[0] {
        let first = token * args.n_cols;
        let scale = inverse_rms(x, first, args.n_cols, args.eps);
        for i in 0..args.n_cols {
            y.set_f(first + i, x.f(first + i) * scale * gain.f(i));
        }
    }
    Ok(())
}

/// Twin of `shaders/shared/rms.wgsl`.
pub(crate) fn inverse_rms(x: Words<'_>, first: u32, n_cols: u32, eps: f32) -> f32 {
    let mut sum = 0.0;
    for i in 0..n_cols {
        sum += x.f(first + i) * x.f(first + i);
    }
    1.0 / (sum / n_cols as f32 + eps).sqrt()
}
