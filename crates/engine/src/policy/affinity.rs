//! The default policy: heat, and who goes with whom.

use super::heat::DECAY;
use super::{Choice, Heat, Policy};

/// What it is worth, in uses just made, that a present expert always has this one beside or after it.
const WEIGHT: f32 = 2.0;

/// Heat, and affinity to the present token's experts: how often each of them had this one beside it, or in the next
/// token. A topic that returns brings its experts back together; heat alone has forgotten them one by one. What was learned
/// of an expert halves with every 12 further uses of it, so that another topic can unlearn it.
///
/// Holds 4 bytes for each pair of experts: 4 KB a layer of 32, 256 KB a layer of 256.
#[derive(Debug, Clone)]
pub struct Affinity {
    heat: Heat,
    /// [experts]: tokens that used it, decayed.
    uses: Vec<f32>,
    /// [experts, experts]: how often the second came with the first, and in the token after it, decayed as the
    /// uses of the first are.
    pairs: Vec<f32>,
    /// The present token's experts.
    present: Vec<usize>,
    /// [experts]: expected uses of it beside and after the present experts.
    expected: Vec<f32>,
}

impl Affinity {
    pub fn new(n_experts: u32) -> Self {
        Self::with_heat(Heat::new(n_experts))
    }

    /// Goes on from heat kept at an earlier visit, [experts]; who goes with whom is learned anew, within a few dozen tokens.
    pub fn restore(kept: &[f32]) -> Self {
        Self::with_heat(Heat::restore(kept))
    }

    fn with_heat(heat: Heat) -> Self {
        let n = heat.as_slice().len();
        Self { heat, uses: vec![0.0; n], pairs: vec![0.0; n * n], present: Vec::new(), expected: vec![0.0; n] }
    }

    /// [experts]; see [`Heat::as_slice`].
    pub fn heat(&self) -> &[f32] {
        self.heat.as_slice()
    }
}

impl Policy for Affinity {
    fn used(&mut self, chosen: &[Choice]) {
        self.heat.used(chosen);
        let n = self.uses.len();
        let before = std::mem::take(&mut self.present);
        self.present.extend(chosen.iter().map(|choice| choice.expert as usize).filter(|&expert| expert < n));
        for &first in &self.present {
            self.uses[first] = self.uses[first] * DECAY + 1.0;
            for pairs in &mut self.pairs[first * n..][..n] {
                *pairs *= DECAY;
            }
        }
        for &expert in &self.present {
            for &first in before.iter().chain(&self.present) {
                self.pairs[first * n + expert] += 1.0;
            }
        }
        self.expected.fill(0.0);
        for &first in &self.present {
            // One more than the uses: what was seen once is not yet certain.
            let uses = self.uses[first] + 1.0;
            for (expected, pairs) in self.expected.iter_mut().zip(&self.pairs[first * n..][..n]) {
                *expected += pairs / uses;
            }
        }
    }

    fn worth(&self, expert: u32) -> f64 {
        let affinity = self.expected.get(expert as usize).map_or(0.0, |&expected| WEIGHT * expected);
        self.heat.worth(expert) + f64::from(affinity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(policy: &mut Affinity, experts: &[u32], tokens: u32) {
        let chosen: Vec<Choice> = experts.iter().map(|&expert| Choice { expert, weight: 0.5 }).collect();
        for _ in 0..tokens {
            policy.used(&chosen);
        }
    }

    #[test]
    fn a_topic_that_returns_brings_its_experts_back_together() {
        let mut policy = Affinity::new(8);
        used(&mut policy, &[0, 1], 20);
        used(&mut policy, &[2, 3], 60);
        assert_eq!(policy.victim(&[1, 3]), Some(1));
        // Expert 0 is back, beside a stranger.
        used(&mut policy, &[0, 4], 1);
        used(&mut policy, &[0, 5], 1);
        assert!(policy.worth(1) > policy.worth(7) + 1.0, "{policy:?}");
        assert!(policy.heat()[1] < policy.heat()[4]);
    }

    #[test]
    fn who_follows_whom_is_learned() {
        let mut policy = Affinity::new(6);
        for _ in 0..10 {
            used(&mut policy, &[0], 1);
            used(&mut policy, &[1], 1);
            used(&mut policy, &[2], 1);
        }
        used(&mut policy, &[5], 24);
        used(&mut policy, &[0], 1);
        // 2 was used later, but 1 is what comes now.
        assert_eq!(policy.victim(&[1, 2]), Some(2));
    }

    #[test]
    fn restored_heat_ranks_before_the_first_token() {
        let mut policy = Affinity::restore(&[0.5, 3.0, 1.0]);
        assert_eq!(policy.victim(&[0, 1, 2]), Some(0));
        assert_eq!(policy.heat(), [0.5, 3.0, 1.0]);
        used(&mut policy, &[0, 9], 1);
        assert_eq!(policy.victim(&[0, 1, 2, 9]), Some(9));
    }
}
