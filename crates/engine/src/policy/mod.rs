//! Which expert makes room for another. Slots are partitioned by layer, so a policy sees one layer and knows nothing
//! of slots, files or GPUs: it ranks experts, the pager asks.
//!
//! The default is [`Affinity`]. Hits in % of decode's expert uses, each layer's slots warmed by the prompt, at 20 % and 30 %
//! of 128 experts (25 and 38 slots), on one recorded answer each of gpt-oss-120b (2 used), Qwen3-30B-A3B and
//! Gemma-4-26B-A4B (6 used), as `quire bench cache` prints them:
//!
//! | | gpt-oss | | Qwen3 | | Gemma 4 | |
//! |---|---|---|---|---|---|---|
//! | [`Fifo`] | 72.96 | 79.86 | 70.27 | 82.80 | 68.30 | 80.29 |
//! | [`Lru`] | 75.61 | 83.14 | 74.20 | 86.54 | 73.22 | 84.44 |
//! | [`Lfu`] | 69.84 | 80.58 | 75.19 | 86.69 | 75.71 | 85.49 |
//! | [`Lfru`] | 74.54 | 82.47 | 76.25 | 87.13 | 75.87 | 85.77 |
//! | [`Slru`] | 74.85 | 82.31 | 76.22 | 87.30 | 74.21 | 85.26 |
//! | [`LeastStale`] | 75.54 | 83.12 | 74.00 | 86.41 | 73.12 | 84.39 |
//! | [`Heat`] | 75.82 | 83.12 | 76.93 | 87.59 | 75.73 | 85.49 |
//! | [`Affinity`] | 76.00 | 83.18 | 77.70 | 88.03 | 76.56 | 86.12 |
//! | Belady's optimum | 86.11 | 88.80 | 86.49 | 93.80 | 85.32 | 92.66 |
//!
//! gpt-oss rewards recency, Gemma frequency; use that decays has both, and is the heat map anyway. Who goes with
//! whom adds most where a token uses many experts. Its two constants are on a plateau: with half-lives from 8 to 18 and weights
//! from 0.5 to 4 the rates move by half a point. Decay on several scales or by a power of age, and the router's weights,
//! added nothing; a logistic regression over all of these, fitted to the very traces, came to the same mean. What is left to
//! the optimum is knowledge of the future.

mod affinity;
mod heat;
mod rivals;
mod times;

pub use affinity::Affinity;
pub use heat::Heat;
pub use rivals::{Fifo, LeastStale, Lfru, Lfu, Lru, Slru};

/// One expert that a router chose for one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    pub expert: u32,
    /// Its share of the token's mixture.
    pub weight: f32,
}

/// Ranks the experts of one layer by what each is worth keeping. Deterministic.
///
/// A token in a layer goes like this: [`used`](Policy::used) once, then for each chosen expert that is not resident,
/// where no slot is free a [`victim`](Policy::victim) and [`evicted`](Policy::evicted), and [`filled`](Policy::filled).
///
/// Ids at or above the number of experts are worth nothing and change nothing.
pub trait Policy: std::fmt::Debug + Send {
    /// A token's router chose these, the heaviest first. Called for every token in order, hits and misses alike, and
    /// once however often its pass is replayed. A prefill chunk is its tokens one by one: decode goes on from the last of
    /// them, and only their order tells which those are.
    fn used(&mut self, chosen: &[Choice]);

    /// This expert has been given a slot: for a token, by prefetch or by background fill.
    fn filled(&mut self, _expert: u32) {}

    /// This expert has lost its slot.
    fn evicted(&mut self, _expert: u32) {}

    /// What keeping this expert is worth, beside the others of the layer. Only the order counts.
    fn worth(&self, expert: u32) -> f64;

    /// The one of `resident` to give up: the least worth, the lowest id among equals. The caller leaves out whatever is
    /// needed right now. `None` if nothing is left.
    fn victim(&self, resident: &[u32]) -> Option<u32> {
        resident.iter().copied().min_by(|&a, &b| self.worth(a).total_cmp(&self.worth(b)).then(a.cmp(&b)))
    }
}
