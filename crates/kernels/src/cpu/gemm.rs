use super::{Call, Error};
use crate::ops::GemmArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: GemmArgs = call.args();
    let [a, b, y] = call.bindings()?;
    for row in 0..args.n_rows {
        for column in 0..args.n_cols {
            let mut sum = 0.0;
            for d in 0..args.depth {
                sum += a.f(d * args.n_rows + row) * b.f(d * args.n_cols + column);
            }
            y.set_f(row * args.n_cols + column, sum);
        }
    }
    Ok(())
}
