use super::{Call, Error, weights};
use crate::ops::MoeDownArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeDownArgs = call.args();
    let [act, routes, quants, scales, bias, y] = call.bindings()?;
    let format = call.format()?;
    let n_groups = args.n_cols / 32;
    for choice in 0..call.workgroups[1] {
        let (expert, slot) = (routes.u(choice * 4), routes.u(choice * 4 + 1).wrapping_sub(args.first_slot));
        if slot >= args.n_slots {
            continue;
        }
        for row in 0..args.n_rows {
            let mut sum = bias.f(expert * args.n_rows + row);
            for g in 0..n_groups {
                let w = weights::group(format, quants, scales, slot, args.n_blocks, row * n_groups + g);
                sum += weights::dot(&w, act, (choice * n_groups + g) * 32);
            }
            y.set_f(choice * args.n_rows + row, sum);
        }
    }
    Ok(())
}
