//! A real model, dense and rewritten as a mixture of experts, against llama.cpp on the same weights: the
//! distributions after each of 512 tokens of text, and greedy answers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;

use engine::{Cancel, Engine, SamplingOptions};
use model::Options;
use serde_json::Value;
use tests::{engine, made_model, open, read_f32, read_ids, read_u32, vector};

/// Of the golden text's tokens: software adapters are slow.
const N_TOKENS: usize = 512;
/// Likeliest tokens that the golden files keep a position.
const KEPT: usize = 64;
const END_OF_TURN: u32 = 2;

struct Agreement {
    same_top: f64,
    mean_kl: f64,
}

/// Over the 64 likeliest tokens of each position and all others as one bucket.
fn agreement(name: &str, engine: &mut Engine) -> Agreement {
    let tokens = &read_ids("smollm2/text.ids.txt")[..N_TOKENS];
    let ids = read_u32(&format!("smollm2/{name}.top.ids.u32"));
    let logprobs = read_f32(&format!("smollm2/{name}.top.logprobs.f32"));
    let rest = read_f32(&format!("smollm2/{name}.rest.f32"));
    let logits = pollster::block_on(engine.logits(tokens, true)).unwrap();
    let n_vocab = logits.len() / tokens.len();
    let (mut n_same, mut kl) = (0, 0.0);
    for (position, row) in logits.chunks(n_vocab).enumerate() {
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let total: f64 = row.iter().map(|l| f64::from(l - top).exp()).sum();
        let logprob = |id: u32| f64::from(row[id as usize] - top) - total.ln();
        let kept = position * KEPT..(position + 1) * KEPT;
        n_same += usize::from(row[ids[kept.start] as usize] == top);
        let mut left = 1.0;
        for (id, expected) in ids[kept.clone()].iter().zip(&logprobs[kept]) {
            let expected = f64::from(*expected);
            kl += expected.exp() * (expected - logprob(*id));
            left -= logprob(*id).exp();
        }
        let expected = f64::from(rest[position]).max(1e-12);
        kl += expected * (expected / left.max(1e-12)).ln();
    }
    Agreement { same_top: n_same as f64 / tokens.len() as f64, mean_kl: kl / tokens.len() as f64 }
}

/// The first `n` of five golden answers, each up to the end of its turn, come out token for token.
fn check_answers(name: &str, engine: &mut Engine, n: usize) {
    let golden = std::fs::read_to_string(vector(&format!("smollm2/{name}.greedy.json"))).unwrap();
    let golden: Vec<Value> = serde_json::from_str(&golden).unwrap();
    assert_eq!(golden.len(), 5);
    let ids = |value: &Value| -> Vec<u32> { value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect() };
    for answer in &golden[..n] {
        let prompt = ids(&answer["prompt_ids"]);
        let mut expected = ids(&answer["ids"]);
        if let Some(end) = expected.iter().position(|id| *id == END_OF_TURN) {
            expected.truncate(end + 1);
        }
        let request = engine::Request {
            prompt: &prompt,
            max_tokens: expected.len() as u32,
            sampling: SamplingOptions::greedy(),
            stops: &[END_OF_TURN],
        };
        let got = pollster::block_on(engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap();
        assert_eq!(got.ids, expected, "{name}: {}", answer["prompt"]);
    }
}

fn check(name: &str) {
    let mut engine = engine(&open(&made_model(name)), Options { context: 1024, logit_rows: 128, ..Options::default() });
    let Agreement { same_top, mean_kl } = agreement(name, &mut engine);
    println!("{name}: same top token {:.2} %, mean KL divergence {mean_kl:.2e}", same_top * 100.0);
    assert!(same_top >= 0.98, "{name}: same top token in {:.2} % of positions", same_top * 100.0);
    assert!(mean_kl < 2e-3, "{name}: mean KL divergence {mean_kl:.2e}");
    check_answers(name, &mut engine, 5);
}

#[test]
fn a_model_in_three_shards_speaks_like_the_one_file() {
    let shards = open(&made_model("smollm2-moe-00001-of-00003"));
    check_answers("smollm2-moe", &mut engine(&shards, Options { context: 256, ..Options::default() }), 1);
}

#[test]
fn smollm2_speaks_as_in_llama_cpp() {
    check("smollm2");
}

#[test]
fn smollm2_as_a_mixture_of_experts_speaks_as_in_llama_cpp() {
    check("smollm2-moe");
}
