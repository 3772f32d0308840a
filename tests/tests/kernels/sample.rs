use std::mem::offset_of;

use bytemuck::{Zeroable, cast_slice};
use kernels::ops::{Alternatives, IN_PROMPT, MASKED, MAX_LOGPROBS, MAX_SEQUENCES, Paging, Pass, Sampled, Sampler, Sampling, Step, Steps};

use crate::bench::{Bench, Results, SENTINEL};
use crate::random::Random;

/// Greedy, everything off.
pub(crate) fn greedy() -> Sampling {
    Sampling { top_p: 1.0, repetition: 1.0, ..Sampling::zeroed() }
}

/// Those of the first sequences, and whatever of the others.
fn of_all(samplings: &[Sampling]) -> Vec<u32> {
    let mut all = cast_slice(samplings).to_vec();
    all.resize(MAX_SEQUENCES * size_of::<Sampling>() / 4, SENTINEL);
    all
}

/// Draws from scores that are the logits, too, as long as nothing is penalized.
#[derive(Debug)]
pub(crate) struct Draws {
    pub(crate) sampling: Sampling,
    pub(crate) scores: Vec<f32>,
    pub(crate) step: Step,
    /// Steps, one after the other.
    pub(crate) n: u32,
    /// Tokens a step.
    pub(crate) n_tokens: u32,
    /// Of the pass whose logits these are.
    pub(crate) first_miss: u32,
}

/// The buffers afterwards.
#[derive(Debug)]
pub(crate) struct Drawn {
    results: Results,
    sampler: Sampler,
}

impl Draws {
    pub(crate) fn new(sampling: Sampling, scores: Vec<f32>) -> Self {
        Self {
            sampling,
            scores,
            step: Step { position: 10, seed: 1, most: u32::MAX, ..Step::default() },
            n: 1,
            n_tokens: 1,
            first_miss: Paging::NO_MISS,
        }
    }

    pub(crate) fn seed(mut self, seed: u32) -> Self {
        self.step.seed = seed;
        self
    }

    pub(crate) fn times(self, n: u32) -> Self {
        Self { n, ..self }
    }

    pub(crate) fn run(&self) -> Drawn {
        let mut b = Bench::default();
        let n_vocab = self.scores.len();
        let zeros = vec![0; n_vocab];
        let sampler = Sampler {
            sampling: b.words(&of_all(&[self.sampling])),
            logits: b.floats(&self.scores),
            bias: b.words(&zeros),
            mask: b.words(&[]),
            scores: b.output(n_vocab),
            counts: b.in_out(&zeros),
            steps: b.in_out(Steps::lone(self.step).words()),
            report: b.output(Sampler::REPORT_BYTES as usize / 4),
            scan: b.output(Sampler::scan_bytes(n_vocab as u32, 1) as usize / 4),
            bins: b.in_out(&vec![0; Sampler::bins_bytes(1) as usize / 4]),
            paging: Paging { whole: b.in_out(&self.paging()), n_experts: 3 },
        };
        for _ in 0..self.n {
            b.recording.sample(n_vocab as u32, &sampler, Pass::of(self.n_tokens));
        }
        let results = b.run();
        results.assert_words("paging afterwards", sampler.paging.whole, &self.paging());
        Drawn { results, sampler }
    }

    fn slot(layer: u32, expert: u32) -> Option<u32> {
        (expert != layer).then_some(expert)
    }

    fn paging(&self) -> Vec<u32> {
        let mut words = Paging::words(2, 3, Self::slot);
        words[0] = self.first_miss;
        words
    }
}

impl Drawn {
    /// How often each id was drawn.
    pub(crate) fn counts(&self) -> [(&'static str, &[u32]); 2] {
        self.results.words(self.sampler.counts)
    }

    fn sampled(&self) -> [(&'static str, Sampled); 2] {
        self.results.words(self.sampler.report).map(|(side, words)| (side, cast_slice(&words[..size_of::<Sampled>() / 4])[0]))
    }

    fn alternatives(&self) -> [(&'static str, Alternatives); 2] {
        let first = MAX_SEQUENCES * size_of::<Sampled>() / 4;
        let words = self.results.words(self.sampler.report);
        words.map(|(side, words)| (side, cast_slice(&words[first..first + size_of::<Alternatives>() / 4])[0]))
    }

    fn assert_step(&self, step: Step) {
        self.results.assert_words("steps", self.sampler.steps, Steps::lone(step).words());
    }

    fn assert_nothing_drawn(&self, step: Step, first_miss: u32) {
        self.results.assert_words("counts", self.sampler.counts, &[0; 4]);
        self.assert_step(step);
        let mut report = [SENTINEL; Sampler::REPORT_BYTES as usize / 4];
        for (at, word) in [
            (offset_of!(Sampled, first_miss), first_miss),
            (offset_of!(Sampled, n_sampled), step.n_sampled),
            (offset_of!(Sampled, halt), step.halt),
        ] {
            report[at / 4] = word;
        }
        self.results.assert_words("report", self.sampler.report, &report);
    }

    /// The last token, from the twin and from the GPU.
    pub(crate) fn tokens(&self) -> [u32; 2] {
        self.results.words(self.sampler.steps).map(|(_, words)| cast_slice::<u32, Steps>(words)[0].each[0].token)
    }
}

/// Scores of a whole vocabulary, all below 5.
fn o200k_scores() -> Vec<f32> {
    Random(61).floats(201_088, 5.0)
}

fn log_total(scores: &[f32]) -> f64 {
    scores.iter().map(|s| f64::from(*s).exp()).sum::<f64>().ln()
}

#[test]
fn the_greedy_choice_among_equals_is_the_lower_id() {
    let mut scores = o200k_scores();
    for id in [200_000, 777, 150_000, 201_087] {
        scores[id] = 9.0;
    }
    assert_eq!(Draws::new(greedy(), scores.clone()).run().tokens(), [777, 777]);
    scores[201_087] = 9.5;
    assert_eq!(Draws::new(greedy(), scores).run().tokens(), [201_087, 201_087]);
    assert_eq!(Draws::new(greedy(), vec![-1e30, -1e30, -3.0, -1e30]).run().tokens(), [2, 2]);
    assert_eq!(Draws::new(greedy(), vec![-1e30]).run().tokens(), [0, 0]);
}

#[test]
fn logprobs_are_the_models_own_and_in_order() {
    let mut scores = o200k_scores();
    for (id, score) in [(5, 11.0), (70_000, 12.0), (6, 11.0), (201_087, 10.5), (0, 10.25)] {
        scores[id] = score;
    }
    let order = [70_000, 5, 6, 201_087, 0];
    let draws = Draws::new(Sampling { n_logprobs: 5, ..greedy() }, scores);
    let drawn = draws.run();
    for ((side, sampled), (_, found)) in drawn.sampled().into_iter().zip(drawn.alternatives()) {
        assert_eq!((sampled.token, sampled.n_sampled, sampled.halt), (70_000, 1, 0), "{side}");
        assert_eq!(sampled.first_miss, Paging::NO_MISS, "{side}");
        assert_eq!(found.ids[..5], order, "{side}");
        assert!(found.ids[5..].iter().all(|id| *id == SENTINEL), "{side} reports more alternatives than asked for");
        let total = log_total(&draws.scores);
        for (id, logprob) in order.iter().zip(found.logprobs) {
            let expected = f64::from(draws.scores[*id as usize]) - total;
            assert!((f64::from(logprob) - expected).abs() < 2e-5, "{side}: logprob {logprob} of {id}, expected {expected}");
        }
        assert_eq!(sampled.logprob, found.logprobs[0], "{side}");
    }
}

#[test]
fn as_many_logprobs_as_can_be_reported_are() {
    let scores = Random(62).floats(1000, 4.0);
    let draws = Draws::new(Sampling { n_logprobs: MAX_LOGPROBS as u32, ..greedy() }, scores);
    let mut order: Vec<u32> = (0..1000).collect();
    order.sort_by(|a, b| draws.scores[*b as usize].total_cmp(&draws.scores[*a as usize]).then(a.cmp(b)));
    for (side, found) in draws.run().alternatives() {
        assert_eq!(found.ids[..], order[..MAX_LOGPROBS], "{side}");
    }
}

#[test]
fn a_draw_advances_the_step_and_is_counted() {
    let mut draws = Draws::new(greedy(), vec![0.0, 1.0, 3.0, 2.0]).times(3);
    draws.n_tokens = 17;
    let drawn = draws.run();
    drawn.results.assert_words("counts", drawn.sampler.counts, &[0, 0, 3, 0]);
    drawn.assert_step(Step { position: 10 + 3 * 17, n_sampled: 3, token: 2, ..draws.step });
}

#[test]
fn a_stop_token_halts_and_what_comes_after_changes_nothing() {
    for n_stops in [1, 6, 16] {
        let mut sampling = Sampling { n_stops, n_logprobs: 2, ..greedy() };
        sampling.stops = [99; 16];
        sampling.stops[n_stops as usize - 1] = 2;
        let draws = Draws::new(sampling, vec![0.0, 1.0, 3.0, 2.0]).times(3);
        let drawn = draws.run();
        drawn.results.assert_words("counts", drawn.sampler.counts, &[0, 0, 1, 0]);
        drawn.assert_step(Step { position: 11, n_sampled: 1, halt: 1, token: 2, ..draws.step });
        for (side, sampled) in drawn.sampled() {
            assert_eq!((sampled.token, sampled.n_sampled, sampled.halt), (2, 1, 1), "{side}");
        }
    }
    // A stop beyond n_stops is none.
    let mut sampling = Sampling { n_stops: 2, ..greedy() };
    sampling.stops[2] = 2;
    let drawn = Draws::new(sampling, vec![0.0, 1.0, 3.0, 2.0]).times(2).run();
    drawn.results.assert_words("counts", drawn.sampler.counts, &[0, 0, 2, 0]);
}

#[test]
fn a_halted_step_changes_nothing_but_says_whether_it_missed() {
    let sampling = Sampling { temperature: 1.0, n_logprobs: 3, ..greedy() };
    for first_miss in [Paging::NO_MISS, 1] {
        let mut draws = Draws::new(sampling, vec![0.0, 1.0, 3.0, 2.0]);
        draws.step.halt = 1;
        draws.first_miss = first_miss;
        draws.run().assert_nothing_drawn(draws.step, first_miss);
    }
}

#[test]
fn a_pass_that_missed_an_expert_draws_nothing() {
    let sampling = Sampling { temperature: 1.0, n_logprobs: 3, ..greedy() };
    for first_miss in [0, 23] {
        for score in [1.0, f32::NAN] {
            let mut draws = Draws::new(sampling, vec![0.0, score, 3.0, score]);
            draws.first_miss = first_miss;
            draws.run().assert_nothing_drawn(draws.step, first_miss);
        }
    }
    // Nor do those behind it, until the host says that the expert is there.
    let mut draws = Draws::new(greedy(), vec![0.0, 1.0, 3.0, 2.0]).times(2);
    draws.first_miss = 5;
    draws.run().assert_nothing_drawn(draws.step, 5);
}

#[test]
fn a_sequence_halts_at_the_most_that_it_may_say() {
    let mut draws = Draws::new(greedy(), vec![0.0, 1.0, 3.0, 2.0]).times(4);
    (draws.step.n_sampled, draws.step.most) = (5, 7);
    let drawn = draws.run();
    drawn.results.assert_words("counts", drawn.sampler.counts, &[0, 0, 2, 0]);
    drawn.assert_step(Step { position: 12, n_sampled: 7, halt: 1, token: 2, ..draws.step });
}

#[test]
fn penalties_and_biases_change_scores_by_what_was_seen() {
    for n_vocab in [1, 64, 100, 201_088] {
        let mut random = Random(63);
        let logits = random.floats(n_vocab, 8.0);
        let bias: Vec<f32> = (0..n_vocab).map(|i| if i % 5 == 4 { -1e30 } else { (i % 3) as f32 }).collect();
        let counts: Vec<u32> = (0..n_vocab).map(|i| [0, 1, IN_PROMPT, IN_PROMPT | 3, 0, 70][i % 6]).collect();
        let sampling = Sampling { repetition: 1.3, frequency: 0.25, presence: 0.5, ..greedy() };

        let expected: Vec<(f64, f64)> = (0..n_vocab)
            .map(|i| {
                let (mut score, sampled) = (f64::from(logits[i]), counts[i] & !IN_PROMPT);
                if counts[i] != 0 {
                    let repetition = f64::from(sampling.repetition);
                    score = if score > 0.0 { score / repetition } else { score * repetition };
                }
                if sampled > 0 {
                    score -= 0.25 * f64::from(sampled) + 0.5;
                }
                let value = score + f64::from(bias[i]);
                (value, 4e-7 * (value.abs() + f64::from(logits[i].abs()) * 1.3 + 20.0))
            })
            .collect();
        // Without a mask nothing is read of it.
        let mask = vec![0; n_vocab.div_ceil(32)];
        penalize_and_check(sampling, &logits, &bias, &counts, &mask, &expected);
    }
}

#[test]
fn what_a_mask_does_not_allow_scores_less_than_anything_that_it_allows() {
    for n_vocab in [1, 31, 32, 33, 201_088] {
        let logits = Random(64).floats(n_vocab, 8.0);
        let bias = vec![-1e30; n_vocab];
        let mask: Vec<u32> = (0..n_vocab.div_ceil(32) as u32).map(|i| [0x8000_0001, 0, u32::MAX, 0x1234_5678][i as usize % 4]).collect();
        let is_allowed = |i: usize| mask[i / 32] >> (i % 32) & 1 == 1;
        let expected: Vec<(f64, f64)> =
            (0..n_vocab).map(|i| if is_allowed(i) { (-1e30, 1e23) } else { (f64::from(MASKED), 0.0) }).collect();
        penalize_and_check(Sampling { is_masked: 1, ..greedy() }, &logits, &bias, &vec![0; n_vocab], &mask, &expected);
    }
}

/// `[n_vocab]` each, but `mask`.
fn penalize_and_check(sampling: Sampling, logits: &[f32], bias: &[f32], counts: &[u32], mask: &[u32], expected: &[(f64, f64)]) {
    let mut b = Bench::default();
    let n_vocab = logits.len() as u32;
    let sampler = Sampler {
        sampling: b.words(&of_all(&[sampling])),
        logits: b.floats(logits),
        bias: b.floats(bias),
        mask: b.words(mask),
        scores: b.output(logits.len()),
        counts: b.in_out(counts),
        steps: b.in_out(Steps::lone(Step { most: 1, ..Step::default() }).words()),
        report: b.output(Sampler::REPORT_BYTES as usize / 4),
        scan: b.output(Sampler::scan_bytes(n_vocab, 1) as usize / 4),
        bins: b.in_out(&vec![0; Sampler::bins_bytes(1) as usize / 4]),
        paging: Paging { whole: b.in_out(&Paging::words(1, 1, |_, _| Some(0))), n_experts: 1 },
    };
    b.recording.sample(n_vocab, &sampler, Pass::Alone);
    b.run().assert_close(&format!("scores of {n_vocab}"), sampler.scores, expected);
}

#[test]
fn no_draw_takes_what_is_masked() {
    for (temperature, top_p, top_k, min_p) in
        [(0.0, 1.0, 0, 0.0), (1.0, 1.0, 0, 0.0), (1.0, 0.9, 0, 0.0), (2.0, 1.0, 50, 0.0), (0.01, 1.0, 0, 0.1)]
    {
        let mut scores = vec![MASKED; 1000];
        for (id, score) in [(31, -1e30), (64, -1e30), (999, -1e30)] {
            scores[id] = score;
        }
        let sampling = Sampling { temperature, top_p, top_k, min_p, ..greedy() };
        for (side, counts) in Draws::new(sampling, scores).times(20).run().counts() {
            assert_eq!(counts[31] + counts[64] + counts[999], 20, "{side} at temperature {temperature}, top_p {top_p}, top_k {top_k}");
        }
    }
}
