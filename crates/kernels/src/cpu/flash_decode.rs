use super::attention::attend;
use super::kv::Cache;
use super::rope_append::{Turn, rotated};
use super::step::StepRows;
use super::{Call, Error};
use crate::ops::{FlashDecodeArgs, part_keys};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: FlashDecodeArgs = call.args();
    let [steps, qkv, low, high, k_cache, v_cache, sinks, out] = call.bindings()?;
    let steps = StepRows::of(steps, args.first_row);
    let dim = args.head_dim;
    let n_rows = args.n_sequences * args.capacity * args.n_kv_heads;
    let [k_cache, v_cache] = [k_cache, v_cache].map(|words| Cache::of(call, words, n_rows, dim));
    let is_whole = args.n_parts == 1;
    for step_row in (args.row..).take((call.workgroups[2] / (args.n_heads / args.n_kv_heads).div_ceil(8)) as usize) {
        let (sequence, step) = (steps.sequence(step_row), steps.step(step_row));
        let position = step.position;
        if step.halt != 0 {
            continue;
        }
        let qkv = qkv.from(step_row * (args.n_heads + 2 * args.n_kv_heads) * dim);
        let out = out.from(step_row * args.n_heads * if is_whole { dim } else { args.n_parts * (dim + 4) });
        let turn = Turn { n_rot: args.n_rot, interleaved: args.interleaved, concentration: args.concentration, position };
        let row = |p: u32, kv_head: u32| (sequence * args.capacity + p % args.capacity) * args.n_kv_heads + kv_head;
        for kv_head in 0..args.n_kv_heads {
            let (k, v) = ((args.n_heads + kv_head) * dim, (args.n_heads + args.n_kv_heads + kv_head) * dim);
            let turned: Vec<f32> = (0..dim).map(|e| rotated(turn, [qkv, low, high], k, e)).collect();
            let as_it_is: Vec<f32> = (0..dim).map(|e| qkv.f(v + e)).collect();
            k_cache.set(row(position, kv_head), &turned);
            v_cache.set(row(position, kv_head), &as_it_is);
        }
        let n_seen = args.window.min(position + 1);
        let part = part_keys(n_seen, args.n_parts);
        for head in 0..args.n_heads {
            let kv_head = head / (args.n_heads / args.n_kv_heads);
            let query: Vec<f32> = (0..dim).map(|e| rotated(turn, [qkv, low, high], head * dim, e) * args.scale).collect();
            let key = |p: u32, i: u32| k_cache.get(row(p, kv_head), i);
            let value = |p: u32, i: u32| v_cache.get(row(p, kv_head), i);
            for n in 0..n_seen.div_ceil(part) {
                let first = position + 1 - n_seen + n * part;
                let found = attend(&query, first..(first + part).min(position + 1), (n == 0).then(|| sinks.f(head)), key, value);
                let at = n * args.n_heads + head;
                for (i, sum) in found.sums.iter().enumerate() {
                    out.set_f(at * dim + i as u32, if is_whole { sum / found.total } else { *sum });
                }
                if !is_whole {
                    let at = args.n_parts * args.n_heads * dim + at * 4;
                    [found.top, found.total, 0.0, 0.0].iter().enumerate().for_each(|(i, v)| out.set_f(at + i as u32, *v));
                }
            }
        }
    }
    Ok(())
}
