use super::{Call, Error, rms_norm::inverse_rms};
use crate::ops::{Paging, Route, RouterArgs};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: RouterArgs = call.args();
    let [x, gain, router, bias, paging, h, routes, saved] = call.bindings()?;
    let row = (Paging::TABLE_OFFSET / 4) as u32 + args.layer * args.n_experts;
    for token in 0..call.workgroups[0] {
        let first = token * args.n_cols;
        let scale = inverse_rms(x, first, args.n_cols, args.eps);
        for i in 0..args.n_cols {
            h.set_f(first + i, x.f(first + i) * scale * gain.f(i));
        }
        if paging.u(0) >= args.layer {
            for i in 0..args.n_cols {
                saved.set_f(first + i, x.f(first + i));
            }
        }
        let mut logits = vec![0.0; args.n_experts as usize];
        for expert in 0..args.n_experts {
            let mut sum = 0.0;
            for i in 0..args.n_cols {
                sum += router.f(expert * args.n_cols + i) * h.f(first + i);
            }
            logits[expert as usize] = bias.f(expert) + sum;
        }

        let route = token * args.n_used;
        let mut top = 0.0;
        let mut total = 0.0;
        for k in 0..args.n_used {
            let mut best = 0;
            for e in 1..args.n_experts as usize {
                if logits[e] > logits[best] {
                    best = e;
                }
            }
            if k == 0 {
                top = logits[best];
            }
            let weight = (logits[best] - top).exp();
            total += weight;
            let slot = paging.u(row + best as u32);
            if slot == Route::MISS {
                paging.set_u(0, paging.u(0).min(args.layer));
            }
            routes.set_u((route + k) * 4, best as u32);
            routes.set_u((route + k) * 4 + 1, slot);
            routes.set_f((route + k) * 4 + 2, weight);
            routes.set_u((route + k) * 4 + 3, 0);
            logits[best] = -3.4e38;
        }
        for k in 0..args.n_used {
            routes.set_f((route + k) * 4 + 2, routes.f((route + k) * 4 + 2) / total);
        }
    }
    Ok(())
}
