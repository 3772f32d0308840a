//! Rows of a step that are of several sequences: each gets what it would get alone, to the last bit, and what has halted
//! changes nothing.

use bytemuck::{Zeroable, cast_slice};
use kernels::Slice;
use kernels::ops::{
    Alternatives, Heads, KvCache, KvType, MAX_DRAFTS, MAX_SEQUENCES, Paging, Pass, Rope, Sampled, Sampler, Sampling, Step, Steps,
};

use crate::bench::{Bench, SENTINEL};
use crate::random::Random;
use crate::sample::greedy;

const HEADS: Heads = Heads { n: 6, n_kv: 2, dim: 64 };
const CAPACITY: u32 = 300;
const N_SEQUENCES: u32 = 5;
/// Sequences of the rows: not in their order, one that has halted, one that nobody has.
const ROWS: [u32; 5] = [3, 0, 4, Steps::NOBODY, 1];
const HALTED: u32 = 4;
/// Of each sequence: at the beginning, far in, past the end of its ring.
const POSITIONS: [u32; 5] = [0, 170, 9, 1234, 299];

fn steps(rows: &[u32], window: u32) -> Steps {
    let mut steps = Steps::new();
    steps.rows[..rows.len()].copy_from_slice(rows);
    for (step, position) in steps.each.iter_mut().zip(POSITIONS) {
        // Only a window's keys lie in a ring.
        step.position = if window < CAPACITY { position } else { position % CAPACITY };
    }
    steps.each[HALTED as usize].halt = 1;
    steps
}

/// Keys, values and what each row finds, on the GPU, and whether the twin agrees.
fn attend(dtype: KvType, window: u32, rows: &[u32]) -> [Vec<u32>; 3] {
    let mut random = Random(71);
    let row = ((HEADS.n + 2 * HEADS.n_kv) * HEADS.dim) as usize;
    let qkv = random.floats(row * (N_SEQUENCES as usize + 1), 1.0);
    let words = dtype.bytes(HEADS, CAPACITY * N_SEQUENCES) as usize / 4;
    // Halves of 1.0, or floats near 0; scales of q8_0 are such halves too.
    let cells: Vec<u32> = (0..words).map(|_| 0x3C00_3C00 ^ (random.below(1 << 10) << 16) ^ random.below(1 << 10)).collect();
    let mut b = Bench::default();
    // Each sequence has its own q, k and v, wherever its row is.
    let of_rows: Vec<f32> = rows.iter().flat_map(|s| qkv[(*s).min(N_SEQUENCES) as usize * row..][..row].to_vec()).collect();
    let (steps, qkv, sinks) = (b.words(steps(rows, window).words()), b.floats(&of_rows), b.floats(&random.floats(HEADS.n as usize, 1.0)));
    let kv = KvCache { k: b.in_out(&cells), v: b.in_out(&cells), capacity: CAPACITY, n_sequences: N_SEQUENCES, dtype };
    let tables = |b: &mut Bench, n: usize| b.floats(&(0..n * 32).flat_map(|i| [(i as f32).cos(), (i as f32).sin()]).collect::<Vec<_>>());
    let rope = Rope { n_rot: 64, interleaved: false, concentration: 1.0, low: tables(&mut b, 512), high: tables(&mut b, 3) };
    let n = rows.len() as u32;
    let parts = b.output(n as usize * HEADS.parts_bytes(kv.n_parts(window)) as usize / 4);
    let out = b.output((n * HEADS.n * HEADS.dim) as usize);
    b.recording.flash_decode(HEADS, &rope, window, Pass::Batch { n, most: N_SEQUENCES }, steps, qkv, &kv, sinks, parts, out);
    let results = b.run();
    for [(_, cpu), (_, gpu)] in [results.floats(out)] {
        for (i, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
            assert!(a.to_bits() == b.to_bits() || (a - b).abs() < 1e-4 * a.abs().max(1.0), "{dtype:?}: {a} and {b} at {i}");
        }
    }
    [kv.k, kv.v, out].map(|slice| results.words(slice)[1].1.to_vec())
}

#[test]
fn a_sequence_attends_to_its_own_keys_wherever_its_row_is_and_whoever_is_beside_it() {
    let each = (HEADS.n * HEADS.dim) as usize;
    for dtype in [KvType::F16, KvType::F32, KvType::Q8_0] {
        for window in [u32::MAX, 128] {
            let [k, v, out] = attend(dtype, window, &ROWS);
            let before = attend(dtype, window, &[Steps::NOBODY]);
            let [mut keys, mut values] = [before[0].clone(), before[1].clone()];
            for (row, sequence) in ROWS.into_iter().enumerate() {
                let [alone_k, alone_v, alone] = attend(dtype, window, &[sequence]);
                assert!(
                    out[row * each..][..each] == alone,
                    "{dtype:?}, window {window}: sequence {sequence} finds something else beside others"
                );
                let is_halted = sequence == HALTED || sequence == Steps::NOBODY;
                assert_eq!(alone.iter().all(|word| *word == SENTINEL), is_halted);
                // What it appended, over what the others did.
                for (all, (after, before)) in [(&mut keys, (&alone_k, &before[0])), (&mut values, (&alone_v, &before[1]))] {
                    let changed = (0..all.len()).filter(|i| after[*i] != before[*i]).collect::<Vec<_>>();
                    assert_eq!(changed.is_empty(), is_halted);
                    changed.into_iter().for_each(|i| all[i] = after[i]);
                }
            }
            assert!(k == keys && v == values, "{dtype:?}, window {window}: appended to others' keys or values");
        }
    }
}

/// What `n` tokens of sequence 3 from position 1233 on find, then keys and values: as rows of one step, or one step after the other.
fn attend_in_turn(dtype: KvType, window: u32, n: usize, as_drafts: bool) -> [Vec<u32>; 3] {
    const SEQUENCE: usize = 3;
    let mut random = Random(73);
    let row = ((HEADS.n + 2 * HEADS.n_kv) * HEADS.dim) as usize;
    let (qkv, sinks) = (random.floats(row * (1 + MAX_DRAFTS), 1.0), random.floats(HEADS.n as usize, 1.0));
    let words = dtype.bytes(HEADS, CAPACITY * N_SEQUENCES) as usize / 4;
    let mut b = Bench::default();
    let cells = vec![0x3C00_3C00; words];
    let kv = KvCache { k: b.in_out(&cells), v: b.in_out(&cells), capacity: CAPACITY, n_sequences: N_SEQUENCES, dtype };
    let tables = |b: &mut Bench, n: usize| b.floats(&(0..n * 32).flat_map(|i| [(i as f32).cos(), (i as f32).sin()]).collect::<Vec<_>>());
    let rope = Rope { n_rot: 64, interleaved: false, concentration: 1.0, low: tables(&mut b, 512), high: tables(&mut b, 3) };
    let sinks = b.floats(&sinks);
    let (parts, each) = (HEADS.parts_bytes(kv.n_parts(window)) as usize / 4, (HEADS.n * HEADS.dim) as usize);
    let step = |i: usize| Step { position: 1233 + i as u32, ..Step::default() };
    let mut outs = Vec::new();
    let mut steps = Steps::new();
    if as_drafts {
        steps.each[SEQUENCE] = step(0);
        for i in 0..=MAX_DRAFTS {
            steps.rows[i] = SEQUENCE as u32 + i as u32 * Steps::DRAFT;
            if i > 0 {
                steps.each[MAX_SEQUENCES + i] = Step { halt: u32::from(i >= n), ..step(i) };
            }
        }
        let (steps, qkv) = (b.words(steps.words()), b.floats(&qkv));
        let (parts, out) = (b.output(parts * (1 + MAX_DRAFTS)), b.output(each * (1 + MAX_DRAFTS)));
        b.recording.flash_decode(HEADS, &rope, window, Pass::Drafts { most: N_SEQUENCES }, steps, qkv, &kv, sinks, parts, out);
        outs.push(out);
    } else {
        for (i, qkv) in qkv.chunks(row).take(n).enumerate() {
            (steps.rows[0], steps.each[SEQUENCE]) = (SEQUENCE as u32, step(i));
            let (steps, qkv, parts, out) = (b.words(steps.words()), b.floats(qkv), b.output(parts), b.output(each));
            let pass = Pass::Batch { n: 1, most: N_SEQUENCES };
            b.recording.flash_decode(HEADS, &rope, window, pass, steps, qkv, &kv, sinks, parts, out);
            outs.push(out);
        }
    }
    let results = b.run();
    let mut found: Vec<u32> = Vec::new();
    for out in outs {
        let [(_, cpu), (_, gpu)] = results.floats(out);
        assert!(cpu.iter().zip(&gpu).all(|(a, b)| a.to_bits() == b.to_bits() || (a - b).abs() < 1e-4 * a.abs().max(1.0)), "{dtype:?}");
        found.extend(results.words(out)[1].1.iter());
    }
    let untouched = found.split_off(n * each);
    assert!(untouched.iter().all(|word| *word == SENTINEL), "a row that has halted finds nothing");
    [found, results.words(kv.k)[1].1.to_vec(), results.words(kv.v)[1].1.to_vec()]
}

#[test]
fn drafts_see_the_keys_of_those_before_them_as_if_each_had_had_a_step() {
    for dtype in [KvType::F16, KvType::F32, KvType::Q8_0] {
        for (window, n) in [(64, 4), (128, 4), (128, 2), (290, 4)] {
            let [drafts, steps] = [true, false].map(|as_drafts| attend_in_turn(dtype, window, n, as_drafts));
            assert!(drafts == steps, "{dtype:?}, window {window}, {n} tokens");
        }
    }
}

#[test]
fn a_chunk_is_of_the_sequence_that_the_table_says() {
    let (heads, n_tokens) = (HEADS, 20);
    let mut random = Random(72);
    let row = (heads.n_kv * heads.dim) as usize;
    let mine = random.floats(CAPACITY as usize * row, 1.0);
    let (q, sinks) = (random.floats((n_tokens * heads.n * heads.dim) as usize, 2.0), random.floats(heads.n as usize, 1.0));
    let attend = |sequence: u32, n_sequences: u32| {
        let mut b = Bench::default();
        let mut steps = Steps::new();
        steps.rows[Steps::LONE] = sequence;
        steps.each[sequence as usize].position = 290;
        let mut cache = vec![77.0; n_sequences as usize * mine.len()];
        cache[sequence as usize * mine.len()..][..mine.len()].copy_from_slice(&mine);
        let (steps, q, sinks) = (b.words(steps.words()), b.floats(&q), b.floats(&sinks));
        let kv = KvCache { k: b.floats(&cache), v: b.floats(&cache), capacity: CAPACITY, n_sequences, dtype: KvType::F32 };
        let out = b.output((n_tokens * heads.n * heads.dim) as usize);
        b.recording.attention(heads, 100, steps, q, &kv, sinks, out, n_tokens);
        b.run().words(out)[1].1.to_vec()
    };
    assert!(attend(0, 1) == attend(2, 4));
}

/// Logits of each sequence, and how each samples.
struct Voices {
    logits: Vec<Vec<f32>>,
    samplings: Vec<Sampling>,
}

const N_VOCAB: usize = 3000;

impl Voices {
    fn new() -> Self {
        let mut random = Random(73);
        let logits = (0..5).map(|_| random.floats(N_VOCAB, 6.0)).collect();
        let at = |temperature| Sampling { temperature, ..greedy() };
        let samplings = vec![
            Sampling { n_logprobs: 4, ..greedy() },
            Sampling { frequency: 3.0, ..at(1.0) },
            Sampling { top_k: 9, top_p: 0.8, ..at(1.5) },
            Sampling { is_masked: 1, min_p: 0.01, n_logprobs: 20, ..at(2.0) },
            at(1.0),
        ];
        Self { logits, samplings }
    }

    /// Steps that these sequences take together: what each reports, its alternatives, and its step.
    fn draw(&self, rows: &[u32], n_steps: u32) -> Vec<(Sampled, Alternatives, Step)> {
        let mut b = Bench::default();
        let n = rows.len() as u32;
        let mut steps = steps(rows, 1);
        for (i, step) in steps.each.iter_mut().enumerate().take(5) {
            (step.seed, step.most, step.n_sampled) = (40 + i as u32, 1000, 3 * i as u32);
        }
        let mut samplings = self.samplings.clone();
        samplings.resize(MAX_SEQUENCES, Sampling::zeroed());
        let all = N_SEQUENCES as usize;
        let of_rows: Vec<f32> = rows.iter().flat_map(|s| self.logits[*s as usize % 5].clone()).collect();
        let bias: Vec<f32> = (0..all * N_VOCAB).map(|i| (i / N_VOCAB) as f32 * ((i % 7) as f32 - 3.0)).collect();
        let mask: Vec<u32> = (0..all * N_VOCAB.div_ceil(32)).map(|i| 0x0F0F_0F0F << (i / N_VOCAB.div_ceil(32) % 4)).collect();
        let sampler = Sampler {
            sampling: b.words(cast_slice(&samplings)),
            logits: b.floats(&of_rows),
            bias: b.floats(&bias),
            mask: b.words(&mask),
            scores: b.output(rows.len() * N_VOCAB),
            counts: b.in_out(&vec![0; all * N_VOCAB]),
            steps: b.in_out(steps.words()),
            report: b.in_out(&[0; Sampler::REPORT_BYTES as usize / 4]),
            scan: b.output(Sampler::scan_bytes(N_VOCAB as u32, n) as usize / 4),
            bins: b.in_out(&vec![0; Sampler::bins_bytes(n) as usize / 4]),
            paging: Paging { whole: b.in_out(&Paging::words(1, 1, |_, _| Some(0))), n_experts: 1 },
        };
        let pass = Pass::Batch { n, most: N_SEQUENCES };
        for _ in 0..n_steps {
            b.recording.sample(N_VOCAB as u32, &sampler, pass);
        }
        let results = b.run();
        let of = |slice: Slice| results.words(slice)[1].1.to_vec();
        let (report, steps) = (of(sampler.report), of(sampler.steps));
        let (sampled, alternatives) = report.split_at(MAX_SEQUENCES * size_of::<Sampled>() / 4);
        let (sampled, alternatives): (&[Sampled], &[Alternatives]) = (cast_slice(sampled), cast_slice(alternatives));
        let steps: &[Steps] = cast_slice(&steps);
        // The twin draws the same.
        results.assert_words("steps", sampler.steps, steps[0].words());
        rows.iter().enumerate().map(|(row, s)| (sampled[row], alternatives[row], steps[0].each[*s as usize])).collect()
    }
}

#[test]
fn each_row_draws_as_its_sequence_says_and_as_it_would_alone() {
    let voices = Voices::new();
    let together = voices.draw(&ROWS, 3);
    for (row, sequence) in ROWS.into_iter().enumerate() {
        let (sampled, alternatives, step) = voices.draw(&[sequence], 3)[0];
        let (beside, found, beside_step) = together[row];
        assert_eq!((beside_step, beside), (step, sampled), "sequence {sequence}");
        assert_eq!(found, alternatives, "sequence {sequence}");
        match sequence {
            HALTED | Steps::NOBODY => assert_eq!((sampled.halt, sampled.n_sampled), (1, step.n_sampled)),
            _ => assert_eq!((sampled.n_sampled, step.position), (3 * sequence + 3, POSITIONS[sequence as usize] + 3)),
        }
    }
}
