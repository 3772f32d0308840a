//! What is drawn at a temperature: the softmax's own distribution, and exactly the support that top-k,
//! top-p and min-p leave.

use kernels::ops::Sampling;

use crate::random::Random;
use crate::sample::{Draws, greedy};

/// Ids in no order of score, some of them equal.
const LOGITS: [f32; 24] =
    [0.1, 2.0, 1.5, -0.5, 0.7, 1.1, 2.4, 0.9, -1.0, 1.8, 0.4, 1.3, 0.0, 2.2, -0.2, 0.6, 1.0, 1.5, 0.2, -0.8, 1.7, 0.5, 0.8, 1.2];

fn probabilities(logits: &[f32], temperature: f32) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|l| (f64::from(*l) / f64::from(temperature)).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Chi-square of `counts`, and the critical value of its degrees of freedom at one in a thousand, by
/// Wilson and Hilferty.
fn chi_square(counts: &[u32], probabilities: &[f64]) -> (f64, f64) {
    let n = f64::from(counts.iter().sum::<u32>());
    let terms = counts.iter().zip(probabilities).filter(|(_, p)| **p > 0.0);
    let degrees = terms.clone().count() as f64 - 1.0;
    let critical = degrees * (1.0 - 2.0 / (9.0 * degrees) + 3.09 * (2.0 / (9.0 * degrees)).sqrt()).powi(3);
    (terms.map(|(c, p)| (f64::from(*c) - n * p).powi(2) / (n * p)).sum(), critical)
}

#[test]
fn twenty_thousand_draws_follow_the_softmax() {
    let n = 20_000;
    let drawn = Draws::new(Sampling { temperature: 1.0, ..greedy() }, LOGITS.to_vec()).seed(2024).times(n).run();
    let [(_, cpu), (_, gpu)] = drawn.counts();
    for (side, counts) in drawn.counts() {
        assert_eq!(counts.iter().sum::<u32>(), n, "{side}");
        let (chi, critical) = chi_square(counts, &probabilities(&LOGITS, 1.0));
        assert!(chi < critical, "{side}: chi-square is {chi}, the critical value {critical}");
        // A flat distribution, and one of another temperature, must be told apart.
        assert!(chi_square(counts, &[1.0 / 24.0; 24]).0 > 10.0 * critical, "{side} draws all ids alike");
        assert!(chi_square(counts, &probabilities(&LOGITS, 1.1)).0 > critical, "{side} draws as at temperature 1.1");
    }
    // The same noise on both sides; logarithms may differ in the last place and turn a near-tie.
    let differ: u32 = cpu.iter().zip(gpu).map(|(a, b)| a.abs_diff(*b)).sum();
    assert!(differ <= n / 1000, "the twin and the GPU differ in {differ} of {n} draws");
}

#[test]
fn a_temperature_flattens_and_sharpens() {
    for temperature in [0.5, 2.0] {
        let drawn = Draws::new(Sampling { temperature, ..greedy() }, LOGITS.to_vec()).seed(7).times(3000).run();
        for (side, counts) in drawn.counts() {
            let (chi, critical) = chi_square(counts, &probabilities(&LOGITS, temperature));
            assert!(chi < critical, "{side} at {temperature}: chi-square is {chi}, the critical value {critical}");
        }
    }
}

/// Ids that the filters leave, by sorting: temperature, top-k, top-p over what is left, min-p.
fn support(sampling: &Sampling) -> Vec<usize> {
    let p = probabilities(&LOGITS, sampling.temperature);
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    if sampling.top_k > 0 {
        // Equals of the last one stay.
        let last = p[order[(sampling.top_k as usize - 1).min(p.len() - 1)]];
        order.retain(|i| p[*i] >= last);
    }
    if sampling.top_p < 1.0 {
        let enough = f64::from(sampling.top_p) * order.iter().map(|i| p[*i]).sum::<f64>();
        let mut sum = 0.0;
        let reaches = |i: &&usize| {
            sum += p[**i];
            sum >= enough
        };
        let last = order.iter().find(reaches).map_or(0.0, |i| p[*i]);
        order.retain(|i| p[*i] >= last);
    }
    order.retain(|i| p[*i] >= f64::from(sampling.min_p) * p[6]);
    order.sort_unstable();
    order
}

fn check_support(sampling: Sampling, expected_len: usize) {
    let expected = support(&sampling);
    assert_eq!(expected.len(), expected_len, "the test's own arithmetic");
    let drawn = Draws::new(sampling, LOGITS.to_vec()).seed(5).times(200).run();
    for (side, counts) in drawn.counts() {
        let got: Vec<usize> = (0..counts.len()).filter(|i| counts[*i] > 0).collect();
        assert_eq!(got, expected, "{side} with {sampling:?}");
        let p = probabilities(&LOGITS, sampling.temperature);
        let kept: f64 = expected.iter().map(|i| p[*i]).sum();
        let p: Vec<f64> = p.iter().enumerate().map(|(i, p)| if expected.contains(&i) { p / kept } else { 0.0 }).collect();
        if expected.len() > 1 {
            let (chi, critical) = chi_square(counts, &p);
            assert!(chi < critical, "{side} with {sampling:?}: chi-square is {chi}, the critical value {critical}");
        }
    }
}

fn at(temperature: f32) -> Sampling {
    Sampling { temperature, ..greedy() }
}

#[test]
fn top_k_leaves_the_k_largest_and_equals_of_the_last() {
    check_support(Sampling { top_k: 1, ..at(1.5) }, 1);
    check_support(Sampling { top_k: 5, ..at(1.5) }, 5);
    check_support(Sampling { top_k: 6, ..at(1.5) }, 7);
    check_support(Sampling { top_k: 24, ..at(3.0) }, 24);
    check_support(Sampling { top_k: 1000, ..at(3.0) }, 24);
}

#[test]
fn top_p_leaves_the_smallest_set_that_has_the_mass() {
    check_support(Sampling { top_p: 0.05, ..at(1.5) }, 1);
    check_support(Sampling { top_p: 0.5, ..at(1.5) }, 7);
    check_support(Sampling { top_p: 0.9, ..at(1.5) }, 18);
}

#[test]
fn min_p_leaves_what_has_a_share_of_the_largest() {
    check_support(Sampling { min_p: 0.5, ..at(1.0) }, 4);
    check_support(Sampling { min_p: 0.5, ..at(2.0) }, 10);
    check_support(Sampling { min_p: 1.0, ..at(1.0) }, 1);
}

#[test]
fn filters_together_leave_what_each_leaves() {
    check_support(Sampling { top_k: 10, top_p: 0.6, ..at(1.5) }, 5);
    check_support(Sampling { top_k: 10, top_p: 0.8, min_p: 0.6, ..at(1.0) }, 3);
}

#[test]
fn a_seed_gives_the_same_draws_again_and_another_gives_others() {
    let draws = |seed| {
        let drawn = Draws::new(at(1.5), LOGITS.to_vec()).seed(seed).times(200).run();
        drawn.counts().map(|(_, counts)| counts.to_vec())
    };
    let first = draws(42);
    assert_eq!(first, draws(42));
    let other = draws(43);
    assert!(first[0] != other[0] && first[1] != other[1]);
}

#[test]
fn a_whole_vocabulary_is_filtered_alike_on_both_sides() {
    let mut random = Random(71);
    let scores: Vec<f32> = (0..201_088).map(|_| random.float(6.0) + random.float(6.0)).collect();
    for sampling in [Sampling { top_k: 40, top_p: 0.95, min_p: 0.05, ..at(0.8) }, Sampling { top_p: 0.9, ..at(1.0) }, at(1.0)] {
        let [cpu, gpu] = Draws::new(sampling, scores.clone()).seed(3).run().tokens();
        assert_eq!(cpu, gpu, "with {sampling:?}");
    }
}

#[test]
fn a_filter_may_cut_anywhere_in_a_vocabulary() {
    let mut random = Random(72);
    let mut scores: Vec<f32> = (0..20_000).map(|_| random.float(6.0) + random.float(6.0)).collect();
    // Ids that must never be sampled, and more equals than a filter wants.
    scores[100..300].fill(-1e30);
    scores[300..700].fill(11.5);
    let filters = [
        Sampling { top_k: 1, ..at(1.0) },
        Sampling { top_k: 250, ..at(1.0) },
        Sampling { top_k: 19_900, top_p: 0.999, ..at(50.0) },
        Sampling { top_k: 15_000, ..at(0.05) },
        Sampling { top_p: 1e-6, ..at(1.0) },
        Sampling { top_p: 0.999_999, min_p: 1e-9, ..at(2.0) },
        Sampling { top_p: 0.5, ..at(1e-30) },
        Sampling { min_p: 0.01, ..at(3.0) },
    ];
    for sampling in filters {
        let drawn = Draws::new(sampling, scores.clone()).seed(9).times(20).run();
        let [(_, cpu), (_, gpu)] = drawn.counts();
        assert!(cpu == gpu, "the twin and the GPU draw differently with {sampling:?}");
    }
}
