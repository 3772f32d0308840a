use super::{Call, Error, Words};
use crate::ops::{ROPE_BASE, RopeAppendArgs};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: RopeAppendArgs = call.args();
    let [step, qkv, low, high, q, k_cache, v_cache] = call.bindings()?;
    let f16 = call.kernel.has("KV_F16");
    let n_all = args.n_heads + 2 * args.n_kv_heads;
    for token in 0..call.workgroups[1] {
        let position = step.u(0) + token;
        let turn = Turn { n_rot: args.n_rot, interleaved: args.interleaved, concentration: args.concentration, position };
        let rotated = |first: u32, e: u32| rotated(turn, [qkv, low, high], first, e);
        for head in 0..n_all {
            let first = (token * n_all + head) * args.head_dim;
            let row = (position % args.capacity) * args.n_kv_heads;
            for word in 0..args.head_dim / 2 {
                let e = word * 2;
                if head < args.n_heads {
                    let at = (token * args.n_heads + head) * args.head_dim + e;
                    q.set_f(at, rotated(first, e));
                    q.set_f(at + 1, rotated(first, e + 1));
                } else if head < args.n_heads + args.n_kv_heads {
                    let at = (row + head - args.n_heads) * args.head_dim / 2 + word;
                    store(k_cache, f16, at, [rotated(first, e), rotated(first, e + 1)]);
                } else {
                    let at = (row + head - args.n_heads - args.n_kv_heads) * args.head_dim / 2 + word;
                    store(v_cache, f16, at, [qkv.f(first + e), qkv.f(first + e + 1)]);
                }
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

/// Two neighbouring elements of a cache.
pub(crate) fn store(cache: Words<'_>, f16: bool, at: u32, pair: [f32; 2]) {
    if f16 {
        let [low, high] = pair.map(|v| u32::from(half::f16::from_f32(v).to_bits()));
        cache.set_u(at, low | high << 16);
    } else {
        cache.set_f(at * 2, pair[0]);
        cache.set_f(at * 2 + 1, pair[1]);
    }
}
