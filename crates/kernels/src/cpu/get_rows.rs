use super::step::StepRows;
use super::{Call, Error, weights};
use crate::ops::GetRowsArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: GetRowsArgs = call.args();
    let [tokens, quants, scales, y] = call.bindings()?;
    let format = call.format()?;
    let n_groups = args.n_cols / 32;
    for token in 0..args.n_tokens {
        let id = if call.kernel.has("NEXT") { StepRows::of(tokens, args.first_row).step(token).token } else { tokens.u(token) };
        let row = id.wrapping_sub(args.part_row);
        if row >= args.n_rows {
            continue;
        }
        for g in 0..n_groups {
            let w = weights::group(format, quants, scales, 0, args.n_blocks, row * n_groups + g);
            for i in 0..32 {
                y.set_f((token * n_groups + g) * 32 + i, w[i as usize]);
            }
        }
    }
    Ok(())
}
