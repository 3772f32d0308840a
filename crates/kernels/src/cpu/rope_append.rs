use super::kv::Cache;
use super::step::StepRows;
use super::{Call, Error, Words};
use crate::ops::{ROPE_BASE, RopeAppendArgs};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: RopeAppendArgs = call.args();
    let [steps, qkv, low, high, q, k_cache, v_cache] = call.bindings()?;
    let n_rows = args.n_sequences * args.capacity * args.n_kv_heads;
    let [k_cache, v_cache] = [k_cache, v_cache].map(|words| Cache::of(call, words, n_rows, args.head_dim));
    let steps = StepRows::of(steps, args.first_row);
    let n_all = args.n_heads + 2 * args.n_kv_heads;
    for token in 0..call.workgroups[1] {
        let position = steps.step(token).position + token;
        let turn = Turn { n_rot: args.n_rot, interleaved: args.interleaved, concentration: args.concentration, position };
        let rotated = |first: u32, e: u32| rotated(turn, [qkv, low, high], first, e);
        for head in 0..n_all {
            let first = (token * n_all + head) * args.head_dim;
            let row = (steps.sequence(token) * args.capacity + position % args.capacity) * args.n_kv_heads;
            let is_value = head >= args.n_heads + args.n_kv_heads;
            let values: Vec<f32> =
                (first..).zip(0..args.head_dim).map(|(at, e)| if is_value { qkv.f(at) } else { rotated(first, e) }).collect();
            if head < args.n_heads {
                let at = (token * args.n_heads + head) * args.head_dim;
                (at..).zip(values).for_each(|(at, v)| q.set_f(at, v));
            } else if is_value {
                v_cache.set(row + head - args.n_heads - args.n_kv_heads, &values);
            } else {
                k_cache.set(row + head - args.n_heads, &values);
            }
        }
    }
    Ok(())
}

/// How a position turns the elements of a head.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) n_rot: u32,
    pub(crate) interleaved: u32,
    pub(crate) concentration: f32,
    pub(crate) position: u32,
}

/// Element e, rotated, of the head that begins at `first` of qkv; beside it the tables `low` and `high`.
pub(crate) fn rotated(turn: Turn, [qkv, low, high]: [Words<'_>; 3], first: u32, e: u32) -> f32 {
    let Turn { n_rot, interleaved, concentration, position } = turn;
    if e >= n_rot {
        return qkv.f(first + e);
    }
    let n_pairs = n_rot / 2;
    let (pair, is_second, partner) =
        if interleaved == 1 { (e / 2, e % 2 == 1, e ^ 1) } else { (e % n_pairs, e >= n_pairs, (e + n_pairs) % n_rot) };
    let l = ((position % ROPE_BASE) * n_pairs + pair) * 2;
    let h = ((position / ROPE_BASE) * n_pairs + pair) * 2;
    let cos = (high.f(h) * low.f(l) - high.f(h + 1) * low.f(l + 1)) * concentration;
    let sin = (high.f(h + 1) * low.f(l) + high.f(h) * low.f(l + 1)) * concentration;
    qkv.f(first + e) * cos + (if is_second { sin } else { -sin }) * qkv.f(first + partner)
}
