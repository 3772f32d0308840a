//! What was learned of a GPU's speed, for the size of a submission.

/// Seconds of work that may lie before the GPU: more only delays a stop.
const AHEAD_SECONDS: f64 = 0.2;
const MOST_AHEAD: usize = 16;
/// Seconds that a submission of a prompt's chunk should take: drivers give up on longer ones.
const PART_SECONDS: f64 = 0.4;
/// Submissions of a chunk at most, unless it goes layer by layer: experts are read once for all of its tokens, so that a long one
/// pays, but a stop waits for two of them, and whoever looks on for all.
const MOST_PARTS: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Tokens of the next prefill chunk.
    chunk: u32,
    /// Seconds a token of it.
    token: f64,
    /// Seconds a decode step.
    step: f64,
    /// Steps in a row that missed no expert.
    since_miss: usize,
}

impl Pace {
    /// `most`: tokens of a chunk.
    pub(crate) fn new(most: u32, is_software: bool) -> Self {
        // Short chunks read nearly as many experts as long ones do, which is what they cost a GPU.
        let chunk = if is_software { 16 } else { 64 };
        Self { chunk: most.min(chunk), token: 0.1, step: 0.1, since_miss: MOST_AHEAD }
    }

    /// Results to have under way.
    pub(crate) fn ahead(&self) -> usize {
        let fits = ((AHEAD_SECONDS / self.step.max(1e-4)) as usize).clamp(2, MOST_AHEAD);
        fits.min(self.since_miss + 1)
    }

    /// A step that missed made all behind it void: the next ones wait for each other.
    pub(crate) fn miss(&mut self) {
        self.since_miss = 0;
    }

    pub(crate) fn hit(&mut self) {
        self.since_miss = (self.since_miss + 1).min(MOST_AHEAD);
    }

    pub(crate) fn learn_step(&mut self, seconds: f64) {
        self.step = self.step * 0.8 + seconds * 0.2;
    }

    /// Tokens of the next prefill chunk: few, if somebody else waits for a step.
    pub(crate) fn chunk(&self, is_alone: bool) -> u32 {
        if is_alone { self.chunk } else { (self.chunk / MOST_PARTS as u32).max(self.chunk.min(8)) }
    }

    /// Submissions that a chunk of so many tokens should come in.
    pub(crate) fn parts(&self, tokens: u32) -> usize {
        ((f64::from(tokens) * self.token / PART_SECONDS).ceil() as usize).clamp(1, MOST_PARTS)
    }

    /// A power of two, so that its recording is kept. `layers`: submissions, if it went layer by layer; `most`: tokens.
    pub(crate) fn learn_chunk(&mut self, tokens: u32, seconds: f64, layers: Option<usize>, most: u32) {
        self.token = seconds / f64::from(tokens);
        let wanted = PART_SECONDS * layers.unwrap_or(MOST_PARTS) as f64 / self.token.max(1e-6);
        let limit = (self.chunk * 4).min(most.next_power_of_two() / if most.is_power_of_two() { 1 } else { 2 });
        self.chunk = (1u32 << wanted.max(1.0).log2() as u32).clamp(8.min(limit), limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_grows_until_its_submissions_are_as_many_and_as_long_as_they_may_be() {
        let mut pace = Pace::new(512, true);
        assert_eq!((pace.chunk(true), pace.parts(16)), (16, 4));
        // 12 tokens a second
        for expected in [64, 64] {
            pace.learn_chunk(pace.chunk(true), f64::from(pace.chunk(true)) / 12.0, None, 512);
            assert_eq!(pace.chunk(true), expected);
        }
        assert_eq!((pace.parts(64), pace.parts(512), pace.chunk(false)), (14, 16, 8));
        // 10,000 tokens a second
        for expected in [256, 512, 512] {
            pace.learn_chunk(pace.chunk(true), f64::from(pace.chunk(true)) / 10_000.0, None, 512);
            assert_eq!(pace.chunk(true), expected);
        }
        assert_eq!((pace.parts(512), pace.chunk(false)), (1, 32));
    }

    #[test]
    fn a_chunk_that_goes_layer_by_layer_has_a_submission_for_each() {
        let mut pace = Pace::new(512, true);
        pace.learn_chunk(16, 6.4, Some(24), 512);
        assert_eq!(pace.chunk(true), 16);
    }
}
