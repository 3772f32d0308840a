use super::{Call, Error, Words, weights};
use crate::ops::MatmulArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MatmulArgs = call.args();
    let b = &call.bindings;
    let [x, quants, scales, y] = [b[0], b[1], b[2], b[3]];
    let rest: Vec<Words<'_>> = b[4..].to_vec();
    let format = call.format()?;
    let (rms, residual) = (call.kernel.has("RMS"), call.kernel.has("RESIDUAL"));
    let gain = rms.then(|| rest[0]);
    let bias = call.kernel.has("BIAS").then(|| rest[rest.len() - 1]);
    let n_groups = args.n_cols / 32;

    let mut inverse_rms = vec![1.0; args.n_tokens as usize];
    if rms {
        for token in 0..args.n_tokens {
            let mut sum = 0.0;
            for i in 0..args.n_cols {
                let v = x.f((args.first_token + token) * args.n_cols + i);
                sum += v * v;
            }
            inverse_rms[token as usize] = 1.0 / (sum / args.n_cols as f32 + args.eps).sqrt();
        }
    }
    for row in 0..args.n_rows {
        let mut sums = vec![0.0; args.n_tokens as usize];
        for g in 0..n_groups {
            let mut w = weights::group(format, quants, scales, 0, args.n_blocks, row * n_groups + g);
            if let Some(gain) = gain {
                for i in 0..32 {
                    w[i as usize] *= gain.f(g * 32 + i);
                }
            }
            for token in 0..args.n_tokens {
                sums[token as usize] += weights::dot(&w, x, ((args.first_token + token) * n_groups + g) * 32);
            }
        }
        for token in 0..args.n_tokens {
            let mut sum = sums[token as usize] * inverse_rms[token as usize];
            if let Some(bias) = bias {
                sum += bias.f(args.first_row + row);
            }
            let at = token * args.y_stride + args.y_first + args.first_row + row;
            y.set_f(at, if residual { y.f(at) + sum } else { sum });
        }
    }
    Ok(())
}
