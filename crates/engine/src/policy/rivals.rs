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
            // What is used anew comes in anew.
            self.filled(choice.expert);
            self.used.stamp(choice.expert);
        }
    }

    fn filled(&mut self, expert: u32) {
        self.filled.filled(expert);
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
        self.uses.get(expert as usize).map_or(f64::NEG_INFINITY, |&uses| f64::from(uses))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds tokens to a policy whose every expert is resident from the start, in the order of their ids; then the order
    /// in which it would give them up.
    fn order(mut policy: impl Policy, n_experts: u32, tokens: &[&[u32]]) -> Vec<u32> {
        let mut resident: Vec<u32> = (0..n_experts).collect();
        for &expert in &resident {
            policy.filled(expert);
        }
        for experts in tokens {
            let chosen: Vec<Choice> = experts.iter().map(|&expert| Choice { expert, weight: 0.5 }).collect();
            policy.used(&chosen);
        }
        let mut order = Vec::new();
        while let Some(victim) = policy.victim(&resident) {
            resident.retain(|&e| e != victim);
            policy.evicted(victim);
            order.push(victim);
        }
        order
    }

    /// 3 is never used; 0 often but long ago; 1 twice; 2 last, beside the heavier 1.
    const TOKENS: [&[u32]; 5] = [&[0], &[0], &[0, 1], &[], &[1, 2]];

    #[test]
    fn each_policy_gives_up_by_its_own_rule() {
        assert_eq!(order(Fifo::new(4), 4, &TOKENS), [0, 1, 2, 3]);
        assert_eq!(order(Lru::new(4), 4, &TOKENS), [3, 0, 2, 1]);
        assert_eq!(order(Lfu::new(4), 4, &TOKENS), [3, 2, 1, 0]);
        // Uses by age: 3 / 3, 2 / 1, 1 / 1.
        assert_eq!(order(Lfru::new(4), 4, &TOKENS), [3, 0, 2, 1]);
        // 3 is the oldest of the stale; the fresh ones go last, as they came in.
        assert_eq!(order(LeastStale::new(4), 4, &TOKENS), [3, 0, 1, 2]);
    }

    #[test]
    fn slru_protects_what_was_used_on_probation_and_lets_the_oldest_fall_back() {
        // Three slots protect two: 0 and 1 are, until 2 makes 0 fall back; 3 was never used.
        assert_eq!(order(Slru::new(4, 3), 4, &[&[0], &[1], &[2]]), [3, 0, 1, 2]);
        // 0 is protected, 1 and 2 are not, though used later: they came in after.
        let mut policy = Slru::new(3, 3);
        let use_one = |policy: &mut Slru, expert| policy.used(&[Choice { expert, weight: 1.0 }]);
        policy.filled(0);
        use_one(&mut policy, 0);
        for newcomer in [1, 2] {
            use_one(&mut policy, newcomer);
            policy.filled(newcomer);
        }
        assert_eq!(policy.victim(&[0, 1, 2]), Some(1));
        assert_eq!(policy.victim(&[0, 2]), Some(2));
    }

    #[test]
    fn lfru_forgets_what_was_evicted() {
        let mut policy = Lfru::new(2);
        let use_one = |policy: &mut Lfru, expert| policy.used(&[Choice { expert, weight: 1.0 }]);
        (0..9).for_each(|_| use_one(&mut policy, 0));
        policy.evicted(0);
        use_one(&mut policy, 0);
        use_one(&mut policy, 1);
        assert_eq!(policy.victim(&[0, 1]), Some(0));
    }

    #[test]
    fn ids_that_are_no_experts_go_first() {
        let policies: [Box<dyn Policy>; 6] = [
            Box::new(Fifo::new(2)),
            Box::new(Lru::new(2)),
            Box::new(Lfu::new(2)),
            Box::new(Lfru::new(2)),
            Box::new(LeastStale::new(2)),
            Box::new(Slru::new(2, 2)),
        ];
        for mut policy in policies {
            policy.used(&[Choice { expert: 1, weight: 1.0 }, Choice { expert: 7, weight: 0.0 }]);
            policy.filled(1);
            assert_eq!(policy.victim(&[0, 1, 7]), Some(7), "{policy:?}");
            assert_eq!(policy.victim(&[]), None);
        }
    }
}
