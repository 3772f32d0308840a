use super::kv::Cache;
use super::step::StepRows;
use super::{Call, Error};
use crate::ops::AttentionArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: AttentionArgs = call.args();
    let [steps, q, k_cache, v_cache, sinks, out] = call.bindings()?;
    let n_rows = args.n_sequences * args.capacity * args.n_kv_heads;
    let [k_cache, v_cache] = [k_cache, v_cache].map(|words| Cache::of(call, words, n_rows, args.head_dim));
    let steps = StepRows::of(steps, args.first_row);
    let sequence = steps.sequence(0);
    for token in 0..args.n_tokens {
        let position = steps.step(0).position + token;
        let first = position + 1 - args.window.min(position + 1);
        for head in 0..args.n_heads {
            let kv_head = head / (args.n_heads / args.n_kv_heads);
            let at = (token * args.n_heads + head) * args.head_dim;
            let query: Vec<f32> = (0..args.head_dim).map(|i| q.f(at + i) * args.scale).collect();
            let row = |p: u32| (sequence * args.capacity + p % args.capacity) * args.n_kv_heads + kv_head;
            let key = |p: u32, i: u32| k_cache.get(row(p), i);
            let value = |p: u32, i: u32| v_cache.get(row(p), i);
            let found = attend(&query, first..position + 1, Some(sinks.f(head)), key, value);
            for (i, sum) in found.sums.iter().enumerate() {
                out.set_f(at + i as u32, sum / found.total);
            }
        }
    }
    Ok(())
}

/// Sums of values by their weights `exp(score - top)`, and of the weights.
pub(crate) struct Found {
    pub(crate) sums: Vec<f32>,
    pub(crate) top: f32,
    pub(crate) total: f32,
}

/// What one query finds at some positions, with a sink or none.
pub(crate) fn attend(
    query: &[f32],
    positions: std::ops::Range<u32>,
    sink: Option<f32>,
    key: impl Fn(u32, u32) -> f32,
    value: impl Fn(u32, u32) -> f32,
) -> Found {
    let dot = |p: u32| query.iter().enumerate().map(|(i, q)| q * key(p, i as u32)).sum::<f32>();
    let scores: Vec<f32> = positions.clone().map(dot).collect();
    let top = scores.iter().copied().fold(sink.unwrap_or(f32::MIN), f32::max);
    let weights: Vec<f32> = scores.iter().map(|score| (score - top).exp()).collect();
    let total = sink.map_or(0.0, |sink| (sink - top).exp()) + weights.iter().sum::<f32>();
    let sum = |i| positions.clone().zip(&weights).map(|(p, weight)| weight * value(p, i)).sum();
    Found { sums: (0..query.len() as u32).map(sum).collect(), top, total }
}
