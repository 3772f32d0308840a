use super::{Call, Error, weights};
use crate::ops::MoeDownArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeDownArgs = call.args();
    let [act, routes, quants, scales, bias, x] = call.bindings()?;
    let format = call.format()?;
    let n_groups = args.n_cols / 32;
    for token in 0..call.workgroups[1] {
        for row in 0..args.n_rows {
            let mut total = 0.0;
            for k in token * args.n_used..(token + 1) * args.n_used {
                let (expert, slot, weight) = (routes.u(k * 4), routes.u(k * 4 + 1), routes.f(k * 4 + 2));
                let slot = slot.wrapping_sub(args.first_slot);
                if slot >= args.n_slots {
                    continue;
                }
                let mut sum = bias.f(expert * args.n_rows + row);
                for g in 0..n_groups {
                    let w = weights::group(format, quants, scales, slot, args.n_blocks, row * n_groups + g);
                    sum += weights::dot(&w, act, (k * n_groups + g) * 32);
                }
                total += weight * sum;
            }
            let at = token * args.n_rows + row;
            x.set_f(at, x.f(at) + total);
        }
    }
    Ok(())
}
