use super::{Call, Error, moe_group, weights};
use crate::ops::MoeDownArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeDownArgs = call.args();
    let [chosen, act, quants, scales, bias, y] = call.bindings()?;
    let format = call.format()?;
    let n_groups = args.n_cols / 32;
    for workgroup in 0..call.workgroups[1] {
        let (tile, choices) = moe_group::tile(call, chosen, workgroup);
        let slot = tile.slot.wrapping_sub(args.first_slot);
        if slot >= args.n_slots {
            continue;
        }
        for row in 0..args.n_rows {
            let mut sums = vec![bias.f(tile.expert * args.n_rows + row); choices.len()];
            for g in 0..n_groups {
                let w = weights::group(format, quants, scales, slot, args.n_blocks, row * n_groups + g);
                for c in 0..choices.len() {
                    sums[c] += weights::dot(&w, act, (choices[c] * n_groups + g) * 32);
                }
            }
            for c in 0..choices.len() {
                y.set_f(choices[c] * args.n_rows + row, sums[c]);
            }
        }
    }
    Ok(())
}
