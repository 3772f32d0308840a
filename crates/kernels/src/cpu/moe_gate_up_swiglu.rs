use super::{Call, Error, moe_group, weights};
use crate::ops::MoeGateUpArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeGateUpArgs = call.args();
    let [chosen, h, gate_quants, gate_scales, up_quants, up_scales, bias, act] = call.bindings()?;
    let format = call.format()?;
    let n_groups = args.n_cols / 32;
    for workgroup in 0..call.workgroups[1] {
        let (tile, choices) = moe_group::tile(call, chosen, workgroup);
        let slot = tile.slot.wrapping_sub(args.first_slot);
        if slot >= args.n_slots {
            continue;
        }
        for row in 0..args.n_rows {
            let mut gs = vec![bias.f(tile.expert * args.n_rows + row); choices.len()];
            let mut us = vec![bias.f((args.n_experts + tile.expert) * args.n_rows + row); choices.len()];
            for i in 0..n_groups {
                let at = row * n_groups + i;
                let gate = weights::group(format, gate_quants, gate_scales, slot, args.n_blocks, at);
                let up = weights::group(format, up_quants, up_scales, slot, args.n_blocks, at);
                for c in 0..choices.len() {
                    let x = (choices[c] / args.n_used * n_groups + i) * 32;
                    gs[c] += weights::dot(&gate, h, x);
                    us[c] += weights::dot(&up, h, x);
                }
            }
            for c in 0..choices.len() {
                let g = gs[c].min(args.limit);
                let u = us[c].clamp(-args.limit, args.limit);
                act.set_f(choices[c] * args.n_rows + row, g / (1.0 + (-args.alpha * g).exp()) * (u + args.shift));
            }
        }
    }
    Ok(())
}
