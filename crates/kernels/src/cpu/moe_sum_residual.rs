use super::{Call, Error};
use crate::ops::{MoeSumArgs, Route};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeSumArgs = call.args();
    let [y, routes, x] = call.bindings()?;
    for token in 0..call.workgroups[1] {
        for row in 0..args.n_rows {
            let mut sum = 0.0;
            for k in token * args.n_used..(token + 1) * args.n_used {
                if routes.u(k * 4 + 1) != Route::MISS {
                    sum += routes.f(k * 4 + 2) * y.f(k * args.n_rows + row);
                }
            }
            let at = token * args.n_rows + row;
            x.set_f(at, x.f(at) + sum);
        }
    }
    Ok(())
}
