//! `nano`, a tiny random gpt-oss, against a float64 forward pass: on CPU twins and on the GPU.
#![allow(clippy::unwrap_used, reason = "tests")]

use kernels::ops::KvType;
use model::Options;
use tests::{Twins, engine, open, read_f32, read_ids, relative_rms, vector, worst_row};

const N_VOCAB: usize = 300;

fn options(kv: KvType) -> Options {
    Options { kv, context: 1024, logit_rows: 64, chunk: 64, ..Options::default() }
}

/// The stored positions of `logits`.
fn stored(name: &str, n: u32, logits: &[f32]) -> Vec<f32> {
    let positions = read_ids(&format!("{name}/positions-{n}.txt"));
    positions.iter().flat_map(|p| &logits[*p as usize * N_VOCAB..][..N_VOCAB]).copied().collect()
}

/// Relative RMS of a model's logits over `n` tokens, on the GPU and on CPU twins, all stored positions together and the
/// worst of them; last, the worst of all positions between GPU and twins.
fn errors(folder: &str, name: &str, kv: KvType, n: u32) -> [(&'static str, f64); 5] {
    let files = open(&vector(&format!("{folder}/{name}.gguf")));
    let tokens = read_ids(&format!("{folder}/tokens-{n}.txt"));
    let golden = read_f32(&format!("{folder}/{name}.logits-{n}.f32"));
    let on_gpu = pollster::block_on(engine(&files, options(kv)).logits(&tokens, true)).unwrap();
    let on_cpu = Twins::new(&files, options(kv)).logits(&tokens);
    let [at_gpu, at_cpu] = [&on_gpu, &on_cpu].map(|logits| stored(folder, n, logits));
    let errors = [
        ("GPU", relative_rms(&at_gpu, &golden)),
        ("twins", relative_rms(&at_cpu, &golden)),
        ("GPU, worst position", worst_row(&at_gpu, &golden, N_VOCAB)),
        ("twins, worst position", worst_row(&at_cpu, &golden, N_VOCAB)),
        ("GPU beside twins, worst position", worst_row(&on_gpu, &on_cpu, N_VOCAB)),
    ];
    let words = errors.map(|(what, error)| format!("{what} {error:.1e}")).join(", ");
    println!("{name} {kv:?} {n} tokens: {words}");
    errors
}

fn check(folder: &str, name: &str, kv: KvType, bounds: [(u32, f64); 3]) {
    for (n, bound) in bounds {
        for (what, error) in errors(folder, name, kv, n) {
            assert!(error < bound, "{name} with {kv:?} at {n} tokens: {what}: relative RMS {error:.2e}, bound {bound:.0e}");
        }
    }
}

#[test]
fn f32_weights_with_f32_keys_give_the_logits_of_a_float64_forward() {
    check("nano", "nano-f32", KvType::F32, [(1, 1e-5), (40, 1e-5), (900, 2e-4)]);
}

#[test]
fn f16_keys_cost_little() {
    check("nano", "nano-f32", KvType::F16, [(1, 5e-3), (40, 5e-3), (900, 5e-3)]);
}

/// Of a random model, whose routers have near-ties that any rounding turns: so by what they mean, not number by number.
#[test]
fn q8_0_keys_leave_the_distributions_nearly_as_they_are() {
    let files = open(&vector("nano/nano-f32.gguf"));
    let tokens = read_ids("nano/tokens-900.txt");
    let [exact, q8_0] = [KvType::F32, KvType::Q8_0].map(|kv| {
        pollster::block_on(engine(&files, options(kv)).logits(&tokens, true)).unwrap().chunks(N_VOCAB).map(log_softmax).collect()
    });
    let (exact, q8_0): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (exact, q8_0);
    let top = |row: &[f64]| (0..N_VOCAB).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    let n_same = exact.iter().zip(&q8_0).filter(|(e, q)| top(e) == top(q)).count();
    let kl: f64 = exact.iter().zip(&q8_0).flat_map(|(e, q)| e.iter().zip(q).map(|(e, q)| e.exp() * (e - q))).sum();
    let (same, kl) = (n_same as f64 / tokens.len() as f64, kl / tokens.len() as f64);
    println!("nano-f32 Q8_0: same top token {:.1} %, mean KL divergence {kl:.1e}", same * 100.0);
    assert!(same > 0.95 && kl < 5e-3, "same top token {same}, mean KL divergence {kl:.2e}");
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let top = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
    let total = row.iter().map(|l| (f64::from(*l) - top).exp()).sum::<f64>().ln();
    row.iter().map(|l| f64::from(*l) - top - total).collect()
}

#[test]
fn mxfp4_experts_and_q8_0_attention_give_the_logits_of_their_dequantised_weights() {
    check("nano", "nano", KvType::F32, [(1, 2e-3), (40, 2e-3), (900, 2e-3)]);
}

#[test]
fn sixteen_experts_are_routed_alike() {
    check("nano-moe16", "nano-moe16", KvType::F32, [(1, 2e-3), (40, 2e-3), (900, 2e-3)]);
}

#[test]
fn tokens_one_by_one_give_the_logits_of_a_chunk() {
    let files = open(&vector("nano/nano-f32.gguf"));
    let tokens = &read_ids("nano/tokens-900.txt")[..400];
    for (kv, bound) in [(KvType::F32, 1e-4), (KvType::F16, 5e-3)] {
        let [chunks, alone] = [64, 1].map(|chunk| {
            let mut engine = engine(&files, Options { chunk, ..options(kv) });
            pollster::block_on(engine.logits(tokens, true)).unwrap()
        });
        let error = worst_row(&alone, &chunks, N_VOCAB);
        assert!(error < bound, "{kv:?}: the worst position is off by {error:.2e}");
    }
}
