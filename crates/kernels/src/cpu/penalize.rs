use super::step::StepRows;
use super::{Call, Error, Words};
use crate::ops::{IN_PROMPT, MASKED, PenalizeArgs, Sampling};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: PenalizeArgs = call.args();
    let [samplings, logits, bias, counts, mask, scores, steps] = call.bindings()?;
    let steps = StepRows::of(steps, args.first_row);
    for row in 0..call.workgroups[1] {
        if steps.step(row).halt != 0 {
            continue;
        }
        let sequence = steps.sequence(row);
        let sampling = sampling_of(samplings, sequence);
        let [logits, scores] = [logits, scores].map(|words| words.from(row * args.n_vocab));
        let [bias, counts] = [bias, counts].map(|words| words.from(sequence * args.n_vocab));
        let mask = mask.from(sequence * args.n_vocab.div_ceil(32));
        for i in 0..args.n_vocab {
            let mut score = logits.f(i);
            let count = counts.u(i);
            if count != 0 {
                score = if score > 0.0 { score / sampling.repetition } else { score * sampling.repetition };
                let sampled = count & !IN_PROMPT;
                if sampled != 0 {
                    score -= sampling.frequency * sampled as f32 + sampling.presence;
                }
            }
            let is_allowed = sampling.is_masked == 0 || mask.u(i / 32) >> (i % 32) & 1 == 1;
            scores.set_f(i, if is_allowed { score + bias.f(i) } else { MASKED });
        }
    }
    Ok(())
}

/// One sequence's of those of all.
pub(crate) fn sampling_of(samplings: Words<'_>, sequence: u32) -> Sampling {
    samplings.from(sequence * (size_of::<Sampling>() / 4) as u32).read()
}
