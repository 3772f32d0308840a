use super::sample::{filters, gumbel};
use super::step::StepRows;
use super::{Call, Error, Words};
use crate::ops::{IN_PROMPT, MASKED, MAX_LOGPROBS, PARTIAL, SampleScanArgs, Sampling};

/// No score, and no id.
const NONE: (f32, u32) = (-3.4e38, u32::MAX);

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: SampleScanArgs = call.args();
    let [samplings, steps, logits, bias, counts, mask, scores, scan] = call.bindings()?;
    let steps = StepRows::of(steps, args.first_row);
    for row in 0..call.workgroups[1] {
        let (sequence, step) = (steps.sequence(row), steps.step(row));
        let sampling = sampling_of(samplings, sequence);
        if step.halt != 0 {
            continue;
        }
        let [logits, scores] = [logits, scores].map(|words| words.from(row * args.n_vocab));
        let [bias, counts] = [bias, counts].map(|words| words.from(sequence * args.n_vocab));
        let mask = mask.from(sequence * args.n_vocab.div_ceil(32));
        for i in 0..args.n_vocab {
            let is_allowed = sampling.is_masked == 0 || mask.u(i / 32) >> (i % 32) & 1 == 1;
            scores.set_f(i, if is_allowed { penalized(logits.f(i), counts.u(i), &sampling) + bias.f(i) } else { MASKED });
        }
        for workgroup in 0..call.workgroups[0] {
            let first = workgroup * args.slice;
            let ids = first..(first + args.slice).min(args.n_vocab);
            let best = |of: &dyn Fn(u32) -> f32| ids.clone().map(|i| (of(i), i)).fold(NONE, better);
            let (score, id) = best(&|i| scores.f(i));
            let mut next = best(&|i| logits.f(i));
            let top = next.0;
            let (noisy, noisy_id) = match sampling.temperature > 0.0 && !filters(&sampling, args.n_vocab) {
                true => best(&|i| scores.f(i) / sampling.temperature + gumbel(step.seed, step.n_sampled, i)),
                false => NONE,
            };
            let mass = ids.clone().map(|i| (logits.f(i) - top).exp()).sum();
            let rate = (32.0 / sampling.temperature).min(1e30);
            let mut words = vec![score.to_bits(), id, noisy.to_bits(), noisy_id, top.to_bits(), f32::to_bits(mass), f32::to_bits(rate), 0];
            for _ in 0..(sampling.n_logprobs as usize).min(MAX_LOGPROBS) {
                words.extend([next.0.to_bits(), next.1]);
                let is_after = |v: f32, i: u32| v < next.0 || (v == next.0 && i > next.1);
                next = ids.clone().map(|i| (logits.f(i), i)).filter(|(v, i)| is_after(*v, *i)).fold(NONE, better);
            }
            let at = row * args.n_words + workgroup * PARTIAL;
            (at..).zip(words).for_each(|(at, word)| scan.set_u(at, word));
        }
    }
    Ok(())
}

/// One sequence's of those of all.
pub(crate) fn sampling_of(samplings: Words<'_>, sequence: u32) -> Sampling {
    samplings.from(sequence * (size_of::<Sampling>() / 4) as u32).read()
}

fn penalized(logit: f32, count: u32, sampling: &Sampling) -> f32 {
    if count == 0 {
        return logit;
    }
    let score = if logit > 0.0 { logit / sampling.repetition } else { logit * sampling.repetition };
    match count & !IN_PROMPT {
        0 => score,
        sampled => score - (sampling.frequency * sampled as f32 + sampling.presence),
    }
}

fn better(a: (f32, u32), b: (f32, u32)) -> (f32, u32) {
    if b.0 > a.0 || (b.0 == a.0 && b.1 < a.1) { b } else { a }
}
