//! The end of a context of 131,072 tokens, over keys and values that nobody computed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;

use api::Files;
use engine::{Cancel, Engine, Finish, Request, SamplingOptions};
use gguf::Writer;
use half::f16;
use kernels::ops::{KvType, Pass};
use model::{Model, Options};
use tests::{engine_of, gpu, open, open_bytes, read_ids, vector, worst_row};

const CONTEXT: u32 = 131_072;
const N_VOCAB: usize = 300;
const N_EMBD: usize = 96;
const OPTIONS: Options = Options { context: CONTEXT, ..tests::OPTIONS };

/// nano with heads of 16 elements instead of 64, four times as many: llvmpipe ends the loops of a thread that passes over so many keys of
/// more.
fn narrow_headed() -> Files {
    let (files, bytes) = (open(&vector("nano/nano.gguf")), std::fs::read(vector("nano/nano.gguf")).unwrap());
    let mut metadata = files.directory.metadata.clone();
    let heads = [("head_count", 16u32), ("head_count_kv", 8), ("key_length", 16), ("value_length", 16)];
    heads.into_iter().for_each(|(key, n)| metadata.set(format!("gpt-oss.attention.{key}"), n));
    let mut writer = Writer::new(metadata).unwrap();
    let n_times = |name: &str| if name.ends_with("attn_sinks.weight") { 4 } else { 1 };
    for tensor in files.directory.tensors.iter() {
        let shape: Vec<u64> = tensor.shape.iter().map(|n| n * n_times(&tensor.name)).collect();
        writer.add(&tensor.name, &shape, tensor.dtype).unwrap();
    }
    let mut data = writer.start(Vec::new()).unwrap();
    for tensor in files.directory.tensors.iter() {
        let bytes = &bytes[tensor.start as usize..][..tensor.bytes as usize];
        data.tensor(&tensor.name, &bytes.repeat(n_times(&tensor.name) as usize)).unwrap();
    }
    open_bytes(data.finish().unwrap()).unwrap()
}

/// An engine and twins over the same keys, of which no two nearby are alike.
fn filled(files: &Files, options: Options) -> (Engine, api::Twins) {
    let mut engine = engine_of(gpu(), files, Model::new(&files.directory, options.clone()).unwrap());
    let mut twins = pollster::block_on(api::Twins::new(files, options.clone())).unwrap();
    let unit = |i: u32| (i.wrapping_mul(0x9E37_79B1) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let half = |i: u32| u32::from(f16::from_f32(unit(i)).to_bits());
    let words: Vec<u32> = match options.kv {
        KvType::F32 => (0..4099).map(|i| unit(i).to_bits()).collect(),
        KvType::F16 | KvType::Q8_0 => (0..4099).map(|i| half(i) | half(i + 4099) << 16).collect(),
    };
    engine.fill_keys(&words);
    twins.fill_keys(&words).unwrap();
    (engine, twins)
}

fn check(files: &Files, kv: KvType, passes: &[(Pass, u32)]) {
    let (mut engine, mut twins) = filled(files, Options { kv, ..OPTIONS });
    for (pass, position) in passes {
        let tokens = &read_ids("nano/tokens-900.txt")[..pass.n_tokens() as usize];
        twins.compute(*pass, tokens, *position).unwrap();
        for is_wide in [false, true] {
            engine.set_shapes(is_wide);
            pollster::block_on(engine.compute(*pass, tokens, *position)).unwrap();
            let state = &twins.model.state;
            for (what, slice, n, width) in [("x", state.x, tokens.len(), N_EMBD), ("logits", state.logits, 1, N_VOCAB)] {
                let got = pollster::block_on(engine.read(slice)).unwrap();
                let error = worst_row(&got[..n * width], &twins.read(slice)[..n * width], width);
                println!("{what} of {pass:?} at {position} over {kv:?}, wide {is_wide}: {error:.1e}");
                assert!(error < 1e-3, "{what} of {pass:?} at {position} over {kv:?}, wide {is_wide}: relative RMS {error:.1e}");
            }
        }
    }
}

#[test]
fn a_chunk_and_a_step_at_the_end_of_the_context_are_what_the_twins_say() {
    check(&narrow_headed(), KvType::F16, &[(Pass::Chunk(5), CONTEXT - 5), (Pass::Alone, CONTEXT - 1)]);
    check(&open(&vector("nano/nano.gguf")), KvType::F32, &[(Pass::Alone, CONTEXT - 1)]);
}

#[test]
fn an_answer_goes_on_to_the_last_position_with_the_words_that_the_twins_choose() {
    let (mut engine, mut twins) = filled(&narrow_headed(), OPTIONS);
    let text = read_ids("nano/tokens-900.txt");
    let prompt: Vec<u32> = text.iter().copied().cycle().take(CONTEXT as usize - 2).collect();
    let kept = prompt.len() - 5;
    engine.pretend(&prompt[..kept]).unwrap();
    let request = Request { prompt: &prompt, max_tokens: 100, sampling: SamplingOptions::greedy(), stops: &[] };
    let generated = pollster::block_on(engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!((generated.n_reused, generated.finish, generated.ids.len()), (kept, Finish::Context, 3));

    let mut tokens = prompt[kept..].to_vec();
    let mut position = kept as u32;
    for id in generated.ids {
        twins.compute(Pass::of(tokens.len() as u32), &tokens, position).unwrap();
        let logits = twins.read(twins.model.state.logits);
        assert_eq!((0..N_VOCAB as u32).max_by(|a, b| logits[*a as usize].total_cmp(&logits[*b as usize])), Some(id));
        position += tokens.len() as u32;
        tokens = vec![id];
    }
}
