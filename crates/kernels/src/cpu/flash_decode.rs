use super::attention::{attend, load};
use super::rope_append::{rotated, store};
use super::{Call, Error};
use crate::ops::{FlashDecodeArgs, part_keys};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: FlashDecodeArgs = call.args();
    let [step, qkv, low, high, k_cache, v_cache, sinks, out] = call.bindings()?;
    let (position, halt) = (step.u(0), step.u(2));
    if halt != 0 {
        return Ok(());
    }
    let f16 = call.kernel.has("KV_F16");
    let dim = args.head_dim;
    let turn = super::rope_append::Turn { n_rot: args.n_rot, interleaved: args.interleaved, concentration: args.concentration, position };
    let row = |p: u32, kv_head: u32| ((p % args.capacity) * args.n_kv_heads + kv_head) * dim;
    for kv_head in 0..args.n_kv_heads {
        let (k, v) = ((args.n_heads + kv_head) * dim, (args.n_heads + args.n_kv_heads + kv_head) * dim);
        for e in (0..dim).step_by(2) {
            let at = (row(position, kv_head) + e) / 2;
            store(k_cache, f16, at, [e, e + 1].map(|e| rotated(turn, [qkv, low, high], k, e)));
            store(v_cache, f16, at, [qkv.f(v + e), qkv.f(v + e + 1)]);
        }
    }
    let n_seen = args.window.min(position + 1);
    let part = part_keys(n_seen, args.n_parts);
    for head in 0..args.n_heads {
        let kv_head = head / (args.n_heads / args.n_kv_heads);
        let query: Vec<f32> = (0..dim).map(|e| rotated(turn, [qkv, low, high], head * dim, e) * args.scale).collect();
        let key = |p: u32, i: u32| load(k_cache, f16, row(p, kv_head) + i);
        let value = |p: u32, i: u32| load(v_cache, f16, row(p, kv_head) + i);
        for n in 0..n_seen.div_ceil(part) {
            let first = position + 1 - n_seen + n * part;
            let found = attend(&query, first..(first + part).min(position + 1), (n == 0).then(|| sinks.f(head)), key, value);
            let (at, is_whole) = (n * args.n_heads + head, args.n_parts == 1);
            for (i, sum) in found.sums.iter().enumerate() {
                out.set_f(at * dim + i as u32, if is_whole { sum / found.total } else { *sum });
            }
            if !is_whole {
                let at = args.n_parts * args.n_heads * dim + at * 4;
                [found.top, found.total, 0.0, 0.0].iter().enumerate().for_each(|(i, v)| out.set_f(at + i as u32, *v));
            }
        }
    }
    Ok(())
}
