//! Use that decays.

use super::{Choice, Policy};

/// What is left of a use after one token, `2^(-1/12)`: half of it after 12.
pub(super) const DECAY: f32 = 0.943_874_3;

/// What a use at every token sums to.
const MOST: f32 = 1.0 / (1.0 - DECAY);

/// How much each expert of a layer was used of late: every use counts 1 and halves every 12 tokens.
///
/// This is the heat map that is drawn, kept with a model between visits, and followed by the background fill. As a
/// policy it is LFU with decay.
#[derive(Debug, Clone)]
pub struct Heat {
    /// [experts].
    heat: Vec<f32>,
}

impl Heat {
    pub fn new(n_experts: u32) -> Self {
        Self { heat: vec![0.0; n_experts as usize] }
    }

    /// Heat kept from an earlier visit, [experts]. What no use can have led to is cut off, NaN is none.
    pub fn restore(kept: &[f32]) -> Self {
        Self { heat: kept.iter().map(|&heat| if heat >= 0.0 { heat.min(MOST) } else { 0.0 }).collect() }
    }

    /// What the heat of an expert is on average that this part of all tokens use, 0 to 1.
    pub fn mean(share: f32) -> f32 {
        share * MOST
    }

    /// [experts]: 0 for never used, up to 17.8 for used at every token.
    pub fn as_slice(&self) -> &[f32] {
        &self.heat
    }
}

impl Policy for Heat {
    fn used(&mut self, chosen: &[Choice]) {
        for heat in &mut self.heat {
            *heat *= DECAY;
        }
        for choice in chosen {
            if let Some(heat) = self.heat.get_mut(choice.expert as usize) {
                *heat += 1.0;
            }
        }
    }

    fn worth(&self, expert: u32) -> f64 {
        self.heat.get(expert as usize).map_or(f64::NEG_INFINITY, |&heat| f64::from(heat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(heat: &mut Heat, experts: &[u32]) {
        let chosen: Vec<Choice> = experts.iter().map(|&expert| Choice { expert, weight: 0.5 }).collect();
        heat.used(&chosen);
    }

    #[test]
    fn a_use_counts_half_after_twelve_tokens() {
        let mut heat = Heat::new(3);
        used(&mut heat, &[2]);
        for _ in 0..12 {
            used(&mut heat, &[0]);
        }
        assert!((heat.as_slice()[2] - 0.5).abs() < 1e-5, "{heat:?}");
        assert_eq!(heat.as_slice()[1], 0.0);
    }

    #[test]
    fn often_and_lately_used_experts_stay() {
        let mut heat = Heat::new(4);
        // 0 often but long ago, 1 often, 2 once just now, 3 never.
        for _ in 0..4 {
            used(&mut heat, &[0]);
        }
        for _ in 0..60 {
            used(&mut heat, &[]);
        }
        for _ in 0..4 {
            used(&mut heat, &[1]);
        }
        used(&mut heat, &[2]);
        let mut resident = vec![0, 1, 2, 3];
        let mut order = Vec::new();
        while let Some(victim) = heat.victim(&resident) {
            resident.retain(|&e| e != victim);
            order.push(victim);
        }
        assert_eq!(order, [3, 0, 2, 1]);
    }

    #[test]
    fn heat_that_is_always_used_stays_within_its_range_and_survives_a_visit() {
        let mut heat = Heat::new(2);
        for _ in 0..10_000 {
            used(&mut heat, &[0, 7]);
        }
        assert!((17.0..17.9).contains(&heat.as_slice()[0]), "{heat:?}");
        assert_eq!(Heat::restore(heat.as_slice()).as_slice(), heat.as_slice());
    }

    #[test]
    fn numbers_that_no_use_led_to_are_cut_off() {
        let heat = Heat::restore(&[f32::NAN, f32::INFINITY, -1.0, 1e30, 2.5]);
        assert!(heat.as_slice().iter().all(|h| (0.0..18.0).contains(h)), "{heat:?}");
        assert_eq!([0, 2, 4].map(|e| heat.as_slice()[e]), [0.0, 0.0, 2.5]);
        assert_eq!(heat.victim(&[4, u32::MAX]), Some(u32::MAX));
    }
}
