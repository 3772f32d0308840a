use super::step::StepRows;
use super::{Call, Error, rms_norm::inverse_rms};
use crate::ops::{Paging, Route, RouterArgs};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: RouterArgs = call.args();
    let [x, gain, router, bias, paging, h, routes, saved, steps] = call.bindings()?;
    let steps = StepRows::of(steps, args.first_row);
    let row = (Paging::TABLE_OFFSET / 4) as u32 + args.layer * args.n_experts;
    for token in 0..call.workgroups[0] {
        let first = token * args.n_cols;
        if steps.step(token).halt != 0 {
            for k in token * args.n_used..(token + 1) * args.n_used {
                [0, Route::DONE, 0, 0].into_iter().enumerate().for_each(|(i, word)| routes.set_u(k * 4 + i as u32, word));
            }
            continue;
        }
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

        let mut chosen: Vec<Route> = Vec::new();
        for _ in 0..args.n_used {
            let best = (1..logits.len()).fold(0, |best, e| if logits[e] > logits[best] { e } else { best });
            let slot = paging.u(row + best as u32);
            chosen.push(Route { expert: best as u32, slot, weight: logits[best], wanted: best as u32 });
            logits[best] = TAKEN;
        }
        if chosen.iter().any(|route| route.slot == Route::MISS) {
            paging.set_u(0, paging.u(0).min(args.layer));
            for route in chosen.iter_mut().filter(|route| args.stand_ins == 1 && route.slot == Route::MISS) {
                let has_slot = |e: &usize| logits[*e] > TAKEN && paging.u(row + *e as u32) != Route::MISS;
                let best = (0..logits.len()).filter(has_slot).reduce(|best, e| if logits[e] > logits[best] { e } else { best });
                if let Some(best) = best {
                    *route = Route { expert: best as u32, slot: paging.u(row + best as u32), weight: logits[best], wanted: route.wanted };
                    logits[best] = TAKEN;
                }
            }
        }
        let top = chosen.iter().map(|route| route.weight).fold(TAKEN, f32::max);
        let total: f32 = chosen.iter().map(|route| (route.weight - top).exp()).sum();
        for (k, route) in chosen.into_iter().enumerate() {
            let weight = (route.weight - top).exp() / total;
            let at = (token * args.n_used + k as u32) * 4;
            for (i, word) in [route.expert, route.slot, weight.to_bits(), route.wanted].into_iter().enumerate() {
                routes.set_u(at + i as u32, word);
            }
        }
    }
    Ok(())
}

/// The logit of an expert that was chosen.
const TAKEN: f32 = -3.4e38;
