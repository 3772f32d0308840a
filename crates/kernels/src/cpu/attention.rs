use super::{Call, Error, Words};
use crate::ops::AttentionArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: AttentionArgs = call.args();
    let [step, q, k_cache, v_cache, sinks, out] = call.bindings()?;
    let f16 = call.kernel.has("KV_F16");
    for token in 0..call.workgroups[1] {
        let position = step.u(0) + token;
        let first = position + 1 - args.window.min(position + 1);
        for head in 0..args.n_heads {
            let kv_head = head / (args.n_heads / args.n_kv_heads);
            let at = (token * args.n_heads + head) * args.head_dim;
            let row = |p: u32| ((p % args.capacity) * args.n_kv_heads + kv_head) * args.head_dim;

            let mut scores = vec![0.0; (position + 1 - first) as usize];
            let mut top = sinks.f(head);
            for p in first..=position {
                let mut sum = 0.0;
                for i in 0..args.head_dim {
                    sum += q.f(at + i) * load(k_cache, f16, row(p) + i);
                }
                scores[(p - first) as usize] = sum * args.scale;
                top = top.max(sum * args.scale);
            }
            let mut total = (sinks.f(head) - top).exp();
            for score in &mut scores {
                *score = (*score - top).exp();
                total += *score;
            }
            for dim in 0..args.head_dim {
                let mut sum = 0.0;
                for p in first..=position {
                    sum += scores[(p - first) as usize] * load(v_cache, f16, row(p) + dim);
                }
                out.set_f(at + dim, sum / total);
            }
        }
    }
    Ok(())
}

fn load(cache: Words<'_>, f16: bool, at: u32) -> f32 {
    if f16 { cache.halves(at / 2)[at as usize % 2] } else { cache.f(at) }
}
