//! Which expert makes room for another. Slots are partitioned by layer, so a policy sees one layer and knows nothing
//! of slots, files or GPUs: it ranks experts, the pager asks.

mod heat;
mod rivals;
mod times;

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
