//! What a request says of sampling, checked and laid out for the kernel.

use kernels::ops::{MAX_LOGPROBS, MAX_STOPS, Sampling};

use crate::Error;

/// How the next token is chosen. The default is the model's own distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingOptions {
    /// 0 is greedy; up to 2 by custom, any positive number here.
    pub temperature: f32,
    /// The most likely tokens that together have this probability; 0 is the likeliest one alone, 1 is off.
    pub top_p: f32,
    /// Tokens at least this likely, relative to the best; 0 is off.
    pub min_p: f32,
    /// So many most likely tokens; 0 is off.
    pub top_k: u32,
    /// Divides the score of what was seen, prompt included; 1 is off.
    pub repetition_penalty: f32,
    /// Taken off the score for each time a token was sampled.
    pub frequency_penalty: f32,
    /// Taken off the score of what was sampled.
    pub presence_penalty: f32,
    /// Added to the score of single tokens.
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: u32,
    /// Alternatives to report a token, at most 20.
    pub n_logprobs: u32,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            min_p: 0.0,
            top_k: 0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
            n_logprobs: 0,
        }
    }
}

impl SamplingOptions {
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// # Errors
    /// [`Error::Option`] for a number out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let check = |name, value: f32, holds: bool, expected| match holds && value.is_finite() {
            true => Ok(()),
            false => Err(Error::Option { name, expected, got: value.to_string() }),
        };
        check("temperature", self.temperature, self.temperature >= 0.0, "0 or more")?;
        check("top_p", self.top_p, (0.0..=1.0).contains(&self.top_p), "0 to 1")?;
        check("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "0 to 1")?;
        check("repetition_penalty", self.repetition_penalty, self.repetition_penalty > 0.0, "above 0")?;
        check("frequency_penalty", self.frequency_penalty, true, "a number")?;
        check("presence_penalty", self.presence_penalty, true, "a number")?;
        if self.n_logprobs as usize > MAX_LOGPROBS {
            return Err(Error::Option { name: "top_logprobs", expected: "at most 20", got: self.n_logprobs.to_string() });
        }
        match self.logit_bias.iter().find(|(_, bias)| !(-100.0..=100.0).contains(bias)) {
            Some((id, bias)) => Err(Error::Option { name: "logit_bias", expected: "-100 to 100", got: format!("{bias} for token {id}") }),
            None => Ok(()),
        }
    }

    /// # Errors
    /// [`Error::Option`] for a number out of its range, [`Error::TokenRange`] for a bias of no token.
    pub(crate) fn layout(&self, stops: &[u32], is_masked: bool, n_vocab: u32) -> Result<Sampling, Error> {
        self.check()?;
        if stops.len() > MAX_STOPS {
            return Err(Error::Option { name: "stop tokens", expected: "at most 16", got: stops.len().to_string() });
        }
        if let Some((id, _)) = self.logit_bias.iter().find(|(id, _)| *id >= n_vocab) {
            return Err(Error::TokenRange { id: *id, n_vocab });
        }
        let mut sampling = Sampling {
            // A filter would leave all tokens that score as the likeliest one does.
            temperature: if self.top_p == 0.0 { 0.0 } else { self.temperature },
            top_p: self.top_p,
            min_p: self.min_p,
            top_k: self.top_k,
            repetition: self.repetition_penalty,
            frequency: self.frequency_penalty,
            presence: self.presence_penalty,
            n_logprobs: self.n_logprobs,
            n_stops: stops.len() as u32,
            is_masked: is_masked.into(),
            pad: [0; 2],
            stops: [0; MAX_STOPS],
        };
        sampling.stops[..stops.len()].copy_from_slice(stops);
        Ok(sampling)
    }

    /// Whether what was said changes the scores of what comes.
    pub(crate) fn looks_back(&self) -> bool {
        self.looks_at_prompt() || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0
    }

    /// Whether the kernel must know which tokens were in the prompt.
    pub(crate) fn looks_at_prompt(&self) -> bool {
        self.repetition_penalty != 1.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_top_p_of_0_is_greedy() {
        let temperature = |top_p| SamplingOptions { top_p, ..SamplingOptions::default() }.layout(&[], false, 9).unwrap().temperature;
        assert_eq!([0.0, f32::MIN_POSITIVE, 1.0].map(temperature), [0.0, 1.0, 1.0]);
    }
}
