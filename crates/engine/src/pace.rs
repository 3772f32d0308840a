//! What was learned of a GPU's speed, for the size of a submission.

/// Seconds of work that may lie before the GPU: more only delays a stop.
const AHEAD_SECONDS: f64 = 0.2;
const MOST_AHEAD: usize = 16;
/// Seconds that a prefill chunk should take: drivers give up on longer ones.
const CHUNK_SECONDS: f64 = 0.4;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Tokens of the next prefill chunk.
    pub(crate) chunk: u32,
    /// Seconds a decode step.
    step: f64,
    /// Steps in a row that missed no expert.
    since_miss: usize,
}

impl Pace {
    /// `most`: tokens of a chunk.
    pub(crate) fn new(most: u32) -> Self {
        Self { chunk: most.min(16), step: 0.1, since_miss: MOST_AHEAD }
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

    /// A power of two, so that its recording is kept.
    pub(crate) fn learn_chunk(&mut self, tokens: u32, seconds: f64, most: u32) {
        let wanted = f64::from(tokens) * CHUNK_SECONDS / seconds.max(1e-4);
        let limit = (self.chunk * 4).min(most.next_power_of_two() / if most.is_power_of_two() { 1 } else { 2 });
        self.chunk = (1u32 << wanted.max(1.0).log2() as u32).clamp(8.min(limit), limit);
    }
}
