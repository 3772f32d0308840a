use std::mem::offset_of;

use super::sample_scan::sampling_of;
use super::step::StepRows;
use super::{Call, Error, Words};
use crate::ops::{Alternatives, MAX_LOGPROBS, MAX_SEQUENCES, N_BINS, Paging, SampleArgs, Sampled, Sampling, Step};

/// By sorting all scores: of what the kernels before it found it needs nothing.
pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: SampleArgs = call.args();
    let [samplings, logits, scores, counts, steps, report, paging, _, bins] = call.bindings()?;
    let steps = StepRows::of(steps, args.first_row);
    for row in 0..call.workgroups[0] {
        let (sequence, step) = (steps.sequence(row), steps.step(row));
        let sampled = report.from(row * (size_of::<Sampled>() / 4) as u32);
        let heads = MAX_SEQUENCES * size_of::<Sampled>() + row as usize * size_of::<Alternatives>();
        let alternatives = report.from(heads as u32 / 4);
        let first_miss = paging.u(0);
        sampled.set_u(1, step.n_sampled);
        sampled.set_u(2, step.halt);
        sampled.set_u((offset_of!(Sampled, first_miss) / 4) as u32, first_miss);
        if step.halt != 0 {
            continue;
        }
        let sampling = sampling_of(samplings, sequence);
        if filters(&sampling, args.n_vocab) {
            (2 * row * N_BINS..2 * (row + 1) * N_BINS).for_each(|bin| bins.set_u(bin, 0));
        }
        if first_miss != Paging::NO_MISS {
            continue;
        }
        let [logits, scores] = [logits, scores].map(|words| words.from(row * args.n_vocab));
        let token = draw(&args, &sampling, scores, step.seed, step.n_sampled);

        let mut order: Vec<u32> = (0..args.n_vocab).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(key(logits.f(i))), i));
        let top = logits.f(order[0]);
        // In f64: one f32 sum over a vocabulary loses what the shader's 256 partial sums keep.
        let mut mass = 0.0;
        for i in 0..args.n_vocab {
            mass += f64::from((logits.f(i) - top).exp());
        }
        let log_total = top + mass.ln() as f32;
        for n in 0..(sampling.n_logprobs as usize).min(MAX_LOGPROBS).min(order.len()) {
            alternatives.set_u(n as u32, order[n]);
            alternatives.set_f((MAX_LOGPROBS + n) as u32, logits.f(order[n]) - log_total);
        }

        let n_sampled = step.n_sampled + 1;
        let halt = u32::from(n_sampled == step.most || sampling.stops[..sampling.n_stops as usize].contains(&token));
        steps.set(row, Step { position: step.position + args.n_tokens, n_sampled, halt, token, ..step });
        let counts = counts.from(sequence * args.n_vocab);
        if !steps.is_draft(row) {
            counts.set_u(token, counts.u(token) + 1);
        }
        sampled.set_u(0, token);
        sampled.set_u(1, n_sampled);
        sampled.set_u(2, halt);
        sampled.set_f(3, logits.f(token) - log_total);
    }
    Ok(())
}

/// Whether temperature alone does not decide.
pub(crate) fn filters(sampling: &Sampling, n_vocab: u32) -> bool {
    let has_k = sampling.top_k > 0 && sampling.top_k < n_vocab;
    sampling.temperature > 0.0 && (has_k || sampling.top_p < 1.0 || sampling.min_p > 0.0)
}

/// Monotonic in the float.
fn key(score: f32) -> u32 {
    let bits = score.to_bits();
    if bits >= 0x8000_0000 { !bits } else { bits | 0x8000_0000 }
}

fn uniform_01(seed: u32, n_sampled: u32, id: u32) -> f32 {
    let mut state = seed;
    for salt in [0x9E37_79B9, n_sampled, id] {
        state = (state ^ salt).wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
        state = (word >> 22) ^ word;
    }
    (state as f32 + 0.5) * 2.328_306_4e-10
}

pub(crate) fn gumbel(seed: u32, n_sampled: u32, id: u32) -> f32 {
    let v = uniform_01(seed, n_sampled, id).min(0.999_999_94);
    let exponential = if v < 0.001 { v + 0.5 * v * v } else { -(1.0 - v).ln() };
    -exponential.ln()
}

fn draw(args: &SampleArgs, sampling: &Sampling, scores: Words<'_>, seed: u32, n_sampled: u32) -> u32 {
    let mut order: Vec<u32> = (0..args.n_vocab).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(key(scores.f(i))), i));
    let top = scores.f(order[0]);
    if sampling.temperature == 0.0 {
        return order[0];
    }
    let at = |n: usize| key(scores.f(order[n]));
    let mut least = 0;
    if sampling.top_k > 0 && sampling.top_k < args.n_vocab {
        least = at(sampling.top_k as usize - 1);
    }
    let mass = |i: u32| f64::from(((scores.f(i) - top) / sampling.temperature).exp());
    if sampling.top_p < 1.0 {
        let mut enough = 0.0;
        for &i in order.iter().filter(|&&i| key(scores.f(i)) >= least) {
            enough += mass(i);
        }
        enough *= f64::from(sampling.top_p);
        let mut sum = 0.0;
        for n in 0..order.len() {
            sum += mass(order[n]);
            if sum >= enough {
                least = least.max(at(n));
                break;
            }
        }
    }
    if sampling.min_p > 0.0 {
        least = least.max(key(top + sampling.temperature * sampling.min_p.ln()));
    }
    least = least.min(key(top));

    let mut best = (-3.4e38, u32::MAX);
    for i in 0..args.n_vocab {
        if key(scores.f(i)) >= least {
            let noisy = scores.f(i) / sampling.temperature + gumbel(seed, n_sampled, i);
            if noisy > best.0 {
                best = (noisy, i);
            }
        }
    }
    best.1
}
