//! The angles of rotary position encoding, in f64, as tables that any GPU reads alike.

use kernels::ops::ROPE_BASE;

use crate::RopeConfig;

/// Cosine and sine for both digits of a position.
#[derive(Debug)]
pub(crate) struct Tables {
    /// `[ROPE_BASE, n_rot/2]` of (cos, sin)
    pub(crate) low: Vec<f32>,
    /// `[n_high, n_rot/2]` of (cos, sin)
    pub(crate) high: Vec<f32>,
    /// Factor on both.
    pub(crate) concentration: f32,
}

impl Tables {
    /// For positions below `context`. `rounded` rounds YaRN's correction range as llama.cpp does; the
    /// model was trained without.
    pub(crate) fn new(rope: &RopeConfig, context: u32, rounded: bool) -> Self {
        let frequencies = frequencies(rope, rounded);
        let table = |n: u32, step: u32| {
            (0..n)
                .flat_map(|digit| frequencies.iter().map(move |f| f64::from(digit * step) * f))
                .flat_map(|angle| [angle.cos() as f32, angle.sin() as f32])
                .collect()
        };
        let concentration = rope.yarn.as_ref().map_or(1.0, |yarn| (0.1 * f64::from(yarn.factor).ln() + 1.0) as f32);
        Self { low: table(ROPE_BASE, 1), high: table(context.div_ceil(ROPE_BASE), ROPE_BASE), concentration }
    }
}

/// Radians a position for each pair, `[n_rot/2]`. With YaRN: pairs that turn more than `beta_fast`
/// times in the original context stay, those under `beta_slow` are slowed by `factor`, a ramp between.
fn frequencies(rope: &RopeConfig, rounded: bool) -> Vec<f64> {
    let (n, theta) = (f64::from(rope.n_rot), f64::from(rope.theta));
    let plain = (0..rope.n_rot / 2).map(|i| theta.powf(-2.0 * f64::from(i) / n));
    let Some(yarn) = &rope.yarn else { return plain.collect() };
    let pair_that_turns =
        |times: f32| n * (f64::from(yarn.original_context) / (std::f64::consts::TAU * f64::from(times))).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (pair_that_turns(yarn.beta_fast), pair_that_turns(yarn.beta_slow));
    if rounded {
        (low, high) = (low.floor().max(0.0), high.ceil().min(n - 1.0));
    }
    plain
        .enumerate()
        .map(|(i, f)| {
            let ramp = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            f * (1.0 - ramp) + f / f64::from(yarn.factor) * ramp
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Yarn;

    fn gpt_oss() -> RopeConfig {
        let yarn = Yarn { factor: 32.0, original_context: 4096.0, beta_fast: 32.0, beta_slow: 1.0 };
        RopeConfig { n_rot: 64, interleaved: false, theta: 150_000.0, yarn: Some(yarn) }
    }

    fn assert_close(got: f64, expected: f64) {
        assert!((got / expected - 1.0).abs() < 1e-8, "{got} is not {expected}");
    }

    #[test]
    fn frequencies_are_those_of_the_trained_model() {
        let f = frequencies(&gpt_oss(), false);
        for (i, expected) in
            [(0, 1.0), (1, 0.689_044_306), (9, 0.031_705_696_2), (13, 0.003_860_359_32), (17, 0.000_129_318_701), (31, 3.023_511_43e-7)]
        {
            assert_close(f[i], expected);
        }
    }

    #[test]
    fn a_rounded_range_gives_the_frequencies_of_llama_cpp() {
        let f = frequencies(&gpt_oss(), true);
        for (i, expected) in [(8, 0.050_813_274_8), (9, 0.031_620_752_3), (17, 0.000_227_947_796), (18, 3.830_881_24e-5)] {
            assert_close(f[i], expected);
        }
    }

    #[test]
    fn concentration_follows_the_factor() {
        assert_eq!(Tables::new(&gpt_oss(), 1, false).concentration, 1.346_573_6);
    }
}
