//! A trace replayed against a policy. Every layer has slots of its own, empty at first. Prefill warms them and decode
//! is counted. A token's experts are one access each; none makes room for another of the same token.

use engine::policy::{Affinity, Choice, Fifo, Heat, LeastStale, Lfru, Lfu, Lru, Policy, Slru};

use crate::routes::{Phase, Token, Trace};

/// Names a policy and makes it for a layer of so many experts and slots.
pub(super) type Contender = (&'static str, fn(u32, u32) -> Box<dyn Policy>);

/// All that can be had while a model runs; the default is the last.
pub(super) const CONTENDERS: [Contender; 8] = [
    ("FIFO", |experts, _| Box::new(Fifo::new(experts))),
    ("LRU", |experts, _| Box::new(Lru::new(experts))),
    ("LFU", |experts, _| Box::new(Lfu::new(experts))),
    ("LFRU", |experts, _| Box::new(Lfru::new(experts))),
    ("SLRU", |experts, slots| Box::new(Slru::new(experts, slots))),
    ("least stale", |experts, _| Box::new(LeastStale::new(experts))),
    ("heat", |experts, _| Box::new(Heat::new(experts))),
    ("affinity", |experts, _| Box::new(Affinity::new(experts))),
];

/// Decode's accesses, and those that found their expert resident.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hits {
    pub(super) hits: u64,
    pub(super) accesses: u64,
}

impl Hits {
    pub(super) fn rate(self) -> f64 {
        self.hits as f64 / self.accesses as f64
    }
}

/// `slots` a layer, no fewer than a token uses.
pub(super) fn replay(trace: &Trace, slots: u32, make: fn(u32, u32) -> Box<dyn Policy>) -> Hits {
    total(trace, slots, |_| make(trace.n_experts, slots))
}

/// Belady's optimum, which knows the future: what is used again last, or never, makes room.
pub(super) fn optimum(trace: &Trace, slots: u32) -> Hits {
    total(trace, slots, |tokens| Box::new(Belady::new(trace.n_experts, tokens)))
}

fn total(trace: &Trace, slots: u32, policy: impl Fn(&[Token]) -> Box<dyn Policy>) -> Hits {
    let mut sum = Hits::default();
    for tokens in trace.layers.values() {
        let layer = replay_layer(tokens, slots as usize, policy(tokens).as_mut());
        sum.hits += layer.hits;
        sum.accesses += layer.accesses;
    }
    sum
}

fn replay_layer(tokens: &[Token], slots: usize, policy: &mut dyn Policy) -> Hits {
    let mut counted = Hits::default();
    let mut resident: Vec<u32> = Vec::with_capacity(slots);
    for Token { phase, chosen } in tokens {
        let missing: Vec<u32> = chosen.iter().map(|c| c.expert).filter(|e| !resident.contains(e)).collect();
        if *phase == Phase::Decode {
            counted.accesses += chosen.len() as u64;
            counted.hits += (chosen.len() - missing.len()) as u64;
        }
        policy.used(chosen);
        for expert in missing {
            if resident.len() == slots {
                let idle: Vec<u32> = resident.iter().copied().filter(|e| chosen.iter().all(|c| c.expert != *e)).collect();
                // A token uses no more experts than there are slots, and this one is not resident: another is idle.
                let Some(victim) = policy.victim(&idle) else { break };
                resident.retain(|&e| e != victim);
                policy.evicted(victim);
            }
            resident.push(expert);
            policy.filled(expert);
        }
    }
    counted
}

/// Replays a layer's tokens in its own count.
#[derive(Debug)]
struct Belady {
    /// [experts]: the tokens that use it, the next one last.
    uses: Vec<Vec<usize>>,
}

impl Belady {
    fn new(n_experts: u32, tokens: &[Token]) -> Self {
        let mut uses = vec![Vec::new(); n_experts as usize];
        for (token, Token { chosen, .. }) in tokens.iter().enumerate().rev() {
            for choice in chosen {
                uses[choice.expert as usize].push(token);
            }
        }
        Self { uses }
    }
}

impl Policy for Belady {
    fn used(&mut self, chosen: &[Choice]) {
        for choice in chosen {
            self.uses[choice.expert as usize].pop();
        }
    }

    fn worth(&self, expert: u32) -> f64 {
        self.uses[expert as usize].last().map_or(f64::NEG_INFINITY, |&next| -(next as f64))
    }
}
