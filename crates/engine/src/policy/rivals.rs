//! The policies that the default is judged against. None has a constant to tune but [`Slru`], whose share is the usual one.

use super::times::Times;
use super::{Choice, Policy};

/// First in, first out: what was filled longest ago goes.
#[derive(Debug, Clone)]
pub struct Fifo {
    filled: Times,
}

impl Fifo {
    pub fn new(n_experts: u32) -> Self {
        Self { filled: Times::new(n_experts) }
    }
}

impl Policy for Fifo {
    fn used(&mut self, _chosen: &[Choice]) {}

    fn filled(&mut self, expert: u32) {
        self.filled.tick();
        self.filled.stamp(expert);
    }

    fn worth(&self, expert: u32) -> f64 {
        self.filled.of(expert)
    }
}

/// Least recently used; of one token's experts the lightest goes first.
#[derive(Debug, Clone)]
pub struct Lru {
    used: Times,
}

impl Lru {
    pub fn new(n_experts: u32) -> Self {
        Self { used: Times::new(n_experts) }
    }
}

impl Policy for Lru {
    fn used(&mut self, chosen: &[Choice]) {
        for choice in chosen.iter().rev() {
            self.used.tick();
            self.used.stamp(choice.expert);
        }
    }

    fn worth(&self, expert: u32) -> f64 {
        self.used.of(expert)
    }
}

/// Least stale (arXiv 2602.03921): the current token's experts are fresh, all others stale; the stale go first, in
/// the order in which they came in.
#[derive(Debug, Clone)]
pub struct LeastStale {
    used: Times,
    filled: Fifo,
}

impl LeastStale {
    pub fn new(n_experts: u32) -> Self {
        Self { used: Times::new(n_experts), filled: Fifo::new(n_experts) }
    }
}

impl Policy for LeastStale {
    fn used(&mut self, chosen: &[Choice]) {
        self.used.tick();
        for choice in chosen {
            // What is used anew is stale later than what was not.
            self.filled.filled(choice.expert);
            self.used.stamp(choice.expert);
        }
    }

    fn worth(&self, expert: u32) -> f64 {
        let fresh = self.used.age(expert) == 0.0;
        self.filled.worth(expert) + if fresh { FIRST_CLASS } else { 0.0 }
    }
}

/// Lifts a time above every other, and is still added exactly.
const FIRST_CLASS: f64 = (1_u64 << 52) as f64;

/// Least frequently used, of all times; the least recent among equals.
#[derive(Debug, Clone)]
pub struct Lfu {
    /// [experts].
    uses: Vec<u32>,
    used: Times,
}

impl Lfu {
    pub fn new(n_experts: u32) -> Self {
        Self { uses: vec![0; n_experts as usize], used: Times::new(n_experts) }
    }

    fn uses(&self, expert: u32) -> f64 {
        self.uses.get(expert as usize).map_or(0.0, |&uses| f64::from(uses))
    }
}

impl Policy for Lfu {
    fn used(&mut self, chosen: &[Choice]) {
        self.used.tick();
        for choice in chosen {
            self.used.stamp(choice.expert);
            if let Some(uses) = self.uses.get_mut(choice.expert as usize) {
                *uses = uses.saturating_add(1);
            }
        }
    }

    fn worth(&self, expert: u32) -> f64 {
        // The second part is at most 1: it orders equals.
        self.uses(expert) + 1.0 / (2.0 + self.used.age(expert))
    }
}

/// Frequency over recency: uses since the expert came in, divided by tokens since the last.
#[derive(Debug, Clone)]
pub struct Lfru {
    lfu: Lfu,
}

impl Lfru {
    pub fn new(n_experts: u32) -> Self {
        Self { lfu: Lfu::new(n_experts) }
    }
}

impl Policy for Lfru {
    fn used(&mut self, chosen: &[Choice]) {
        self.lfu.used(chosen);
    }

    fn evicted(&mut self, expert: u32) {
        if let Some(uses) = self.lfu.uses.get_mut(expert as usize) {
            *uses = 0;
        }
    }

    fn worth(&self, expert: u32) -> f64 {
        self.lfu.uses(expert) / (1.0 + self.lfu.used.age(expert))
    }
}

/// Segmented LRU: a newcomer is on probation until it is used again, then protected; the protected are at most four
/// fifths of the slots, the least recent of them fall back. Those on probation go first, the least recent of each.
#[derive(Debug, Clone)]
pub struct Slru {
    lru: Lru,
    on_probation: Vec<u32>,
    protected: Vec<u32>,
    n_protected: usize,
}

impl Slru {
    /// For a layer of `slots`.
    pub fn new(n_experts: u32, slots: u32) -> Self {
        let n_protected = (slots as usize * 4 / 5).max(1);
        Self { lru: Lru::new(n_experts), on_probation: Vec::new(), protected: Vec::new(), n_protected }
    }
}

impl Policy for Slru {
    fn used(&mut self, chosen: &[Choice]) {
        self.lru.used(chosen);
        for choice in chosen {
            let Some(place) = self.on_probation.iter().position(|&e| e == choice.expert) else { continue };
            self.protected.push(self.on_probation.swap_remove(place));
            if self.protected.len() > self.n_protected
                && let Some(oldest) = self.lru.victim(&self.protected)
            {
                self.protected.retain(|&e| e != oldest);
                self.on_probation.push(oldest);
            }
        }
    }

    fn filled(&mut self, expert: u32) {
        self.evicted(expert);
        self.on_probation.push(expert);
    }

    fn evicted(&mut self, expert: u32) {
        self.on_probation.retain(|&e| e != expert);
        self.protected.retain(|&e| e != expert);
    }

    fn worth(&self, expert: u32) -> f64 {
        self.lru.worth(expert) + if self.protected.contains(&expert) { FIRST_CLASS } else { 0.0 }
    }
}
