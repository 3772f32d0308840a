use super::{Call, Error, weights};
use crate::ops::MoeGateUpArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeGateUpArgs = call.args();
    let [h, routes, gate_quants, gate_scales, up_quants, up_scales, bias, act] = call.bindings()?;
    let format = call.format()?;
    let n_groups = args.n_cols / 32;
    for choice in 0..call.workgroups[1] {
        let (expert, slot) = (routes.u(choice * 4), routes.u(choice * 4 + 1).wrapping_sub(args.first_slot));
        if slot >= args.n_slots {
            continue;
        }
        let x = choice / args.n_used * args.n_cols;
        for row in 0..args.n_rows {
            let mut g = bias.f(expert * args.n_rows + row);
            let mut u = bias.f((args.n_experts + expert) * args.n_rows + row);
            for i in 0..n_groups {
                let at = row * n_groups + i;
                g += weights::dot(&weights::group(format, gate_quants, gate_scales, slot, args.n_blocks, at), h, x + i * 32);
                u += weights::dot(&weights::group(format, up_quants, up_scales, slot, args.n_blocks, at), h, x + i * 32);
            }
            let g = g.min(args.limit);
            let u = u.clamp(-args.limit, args.limit);
            act.set_f(choice * args.n_rows + row, g / (1.0 + (-args.alpha * g).exp()) * (u + args.shift));
        }
    }
    Ok(())
}
