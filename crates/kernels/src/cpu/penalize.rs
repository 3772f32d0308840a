use super::{Call, Error};
use crate::ops::{IN_PROMPT, MASKED, PenalizeArgs, Sampling};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: PenalizeArgs = call.args();
    let [sampling, logits, bias, counts, mask, scores] = call.bindings()?;
    let sampling: Sampling = sampling.read();
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
    Ok(())
}
