//! Random bytes, many and fast.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        let tail = words.into_remainder();
        tail.copy_from_slice(&self.next().to_le_bytes()[..tail.len()]);
    }

    /// From -1 to 1, evenly.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_reference() {
        let mut random = Random::new(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn units_fill_their_range_evenly() {
        let mut random = Random::new(1);
        let units: Vec<f32> = (0..1_000_000).map(|_| random.unit()).collect();
        assert!(units.iter().all(|unit| (-1.0..=1.0).contains(unit)));
        let mean = units.iter().map(|unit| f64::from(*unit)).sum::<f64>() / 1e6;
        let square = units.iter().map(|unit| f64::from(unit * unit)).sum::<f64>() / 1e6;
        assert!(mean.abs() < 3e-3 && (square - 1.0 / 3.0).abs() < 2e-3, "{mean} {square}");
    }
}
