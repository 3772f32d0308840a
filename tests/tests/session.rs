//! What a session promises: the KV cache of the last prompt is kept where it can be and never shows in the answer,
//! answers end when they should, sampling does what its options say, and the layout of weights changes nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;
use std::rc::Rc;

use engine::{Cancel, Engine, Error, Event, Finish, Generated, Request, SamplingOptions, Shape, Token};
use gguf::{DType, Writer};
use kernels::ops::KvType;
use model::{Model, Options};
use tests::{engine_of, gpu, nano, open, open_bytes, read_ids, relative_rms, vector};

const N_VOCAB: usize = 300;
const OPTIONS: Options = Options { kv: KvType::F32, logit_rows: 64, ..tests::OPTIONS };

fn prompt(n: usize) -> Vec<u32> {
    read_ids("nano/tokens-900.txt")[..n].to_vec()
}

fn request(prompt: &[u32], max_tokens: u32, sampling: SamplingOptions) -> Request<'_> {
    Request { prompt, max_tokens, sampling, stops: &[] }
}

/// The answer and its tokens.
fn answer(engine: &mut Engine, request: &Request<'_>) -> (Generated, Vec<Token>) {
    let mut tokens = Vec::new();
    let mut note = |event: Event<'_>| {
        if let Event::Token(token) = event {
            tokens.push(token.clone());
        }
        ControlFlow::Continue(())
    };
    let generated = pollster::block_on(engine.generate(request, &Cancel::default(), &mut note)).unwrap();
    (generated, tokens)
}

fn ids(engine: &mut Engine, prompt: &[u32], max_tokens: u32, sampling: SamplingOptions) -> Vec<u32> {
    answer(engine, &request(prompt, max_tokens, sampling)).0.ids
}

fn greedy(engine: &mut Engine, prompt: &[u32], n: u32) -> Generated {
    answer(engine, &request(prompt, n, SamplingOptions::greedy())).0
}

fn logits(engine: &mut Engine, tokens: &[u32]) -> Vec<f32> {
    pollster::block_on(engine.logits(tokens, false)).unwrap()
}

/// The same request on an engine that has nothing to reuse.
fn fresh(engine: &mut Engine, prompt: &[u32], n: u32) -> Vec<u32> {
    // Logits are of a sequence of its own, and end every other.
    logits(engine, &[0]);
    let generated = greedy(engine, prompt, n);
    assert_eq!(generated.n_reused, 0);
    generated.ids
}

#[test]
fn a_prompt_that_begins_like_the_last_sequence_gets_the_same_answer_as_on_a_new_engine() {
    let gpu = gpu();
    let (mut used, mut other) = (nano(&gpu, OPTIONS), nano(&gpu, OPTIONS));
    let mut conversation = prompt(40);
    let first = greedy(&mut used, &conversation, 12);
    assert_eq!((first.n_reused, &first.ids), (0, &fresh(&mut other, &conversation, 12)));

    // The conversation goes on. The last answer's last token was never fed to the model.
    conversation.extend(&first.ids);
    conversation.extend(&prompt(200)[150..]);
    let longer = greedy(&mut used, &conversation, 12);
    assert!((51..=52).contains(&longer.n_reused), "{} reused", longer.n_reused);
    assert_eq!(longer.ids, fresh(&mut other, &conversation, 12));

    // The same again computes the last token only.
    let again = greedy(&mut used, &conversation, 12);
    assert_eq!((again.n_reused, &again.ids), (conversation.len() - 2, &longer.ids));

    // Back a little, and on in another way.
    conversation.truncate(80);
    conversation.extend(&prompt(30)[10..]);
    let back = greedy(&mut used, &conversation, 12);
    assert_eq!((back.n_reused, &back.ids), (80, &fresh(&mut other, &conversation, 12)));

    // Nothing is common.
    conversation[0] += 1;
    let changed = greedy(&mut used, &conversation, 12);
    assert_eq!((changed.n_reused, &changed.ids), (0, &fresh(&mut other, &conversation, 12)));
}

#[test]
fn kernels_of_another_shape_say_the_same() {
    let mut engine = nano(&gpu(), OPTIONS);
    let narrow = greedy(&mut engine, &prompt(140), 24);
    engine.set_shapes(true);
    let wide = greedy(&mut engine, &prompt(140), 24);
    assert_eq!((wide.n_reused, &wide.ids), (0, &narrow.ids));
    pollster::block_on(engine.try_shapes()).unwrap();
    let chosen = greedy(&mut engine, &prompt(140), 24);
    assert_eq!((chosen.n_reused, &chosen.ids), (0, &narrow.ids));
}

#[test]
fn shapes_that_were_chosen_at_an_earlier_visit_are_not_tried_again() {
    let (first, next) = (gpu(), gpu());
    pollster::block_on(nano(&first, OPTIONS).try_shapes()).unwrap();
    let chosen = first.shapes();
    assert!(!chosen.is_empty());
    next.restore_shapes(chosen.clone());
    let mut engine = nano(&next, OPTIONS);
    let before = next.counters();
    pollster::block_on(engine.try_shapes()).unwrap();
    assert_eq!((next.counters() - before).dispatches, 0);
    assert_eq!(next.shapes(), chosen);
    // Of those that must agree, one is of another mind.
    let experts = chosen.iter().find(|shape| shape.kernel.contains("moe_gate_up_swiglu_tile")).unwrap();
    next.restore_shapes(vec![Shape { is_wide: !experts.is_wide, ..experts.clone() }]);
    pollster::block_on(engine.try_shapes()).unwrap();
    assert!((next.counters() - before).dispatches > 0);
}

#[test]
fn how_a_prompt_is_cut_changes_no_bit_in_the_wide_shape() {
    let logits = [64, 24, 7].map(|chunk| {
        let mut engine = nano(&gpu(), Options { chunk, ..OPTIONS });
        engine.set_shapes(true);
        logits(&mut engine, &prompt(210))
    });
    assert!(logits[0] == logits[1] && logits[0] == logits[2]);
}

#[test]
fn going_back_further_than_a_window_remembers_begins_anew() {
    let gpu = gpu();
    let (mut used, mut other) = (nano(&gpu, OPTIONS), nano(&gpu, OPTIONS));
    let long = prompt(860);
    greedy(&mut used, &long, 4);
    // The rings hold 640 positions, the last 127 of them before the one to go on from.
    let mut near = long[..500].to_vec();
    near.push(7);
    let kept = greedy(&mut used, &near, 8);
    assert_eq!((kept.n_reused, &kept.ids), (499, &fresh(&mut other, &near, 8)));

    greedy(&mut used, &long, 4);
    let mut far = long[..300].to_vec();
    far.push(7);
    let forgotten = greedy(&mut used, &far, 8);
    assert_eq!((forgotten.n_reused, &forgotten.ids), (0, &fresh(&mut other, &far, 8)));
}

#[test]
fn an_answer_ends_at_a_stop_at_its_length_or_with_the_context() {
    let mut engine = nano(&gpu(), Options { context: 64, ..OPTIONS });
    let prompt = prompt(40);
    let whole = greedy(&mut engine, &prompt, 10);
    assert_eq!((whole.finish, whole.ids.len()), (Finish::Length, 10));
    assert_eq!(greedy(&mut engine, &prompt, 1).ids, whole.ids[..1]);

    let stop = whole.ids[4];
    let at = whole.ids.iter().position(|id| *id == stop).unwrap();
    let stops = [299, stop];
    let stopped = answer(&mut engine, &Request { stops: &stops, ..request(&prompt, 10, SamplingOptions::greedy()) }).0;
    assert_eq!((stopped.finish, &stopped.ids[..]), (Finish::Stop(stop), &whole.ids[..=at]));

    // Positions 40 to 63 are fed with what was drawn, and one more is drawn after the last.
    let full = greedy(&mut engine, &prompt, 1000);
    assert_eq!((full.finish, full.ids.len()), (Finish::Context, 25));
    let exact = greedy(&mut engine, &prompt, 25);
    assert_eq!((exact.finish, &exact.ids), (Finish::Length, &full.ids));
    let mut filled = prompt.clone();
    filled.extend(&full.ids[..24]);
    let last = greedy(&mut engine, &filled, 5);
    assert_eq!((last.finish, &last.ids[..]), (Finish::Context, &full.ids[24..]));
}

#[test]
fn a_cancelled_answer_leaves_no_trace_in_the_next() {
    let mut engine = nano(&gpu(), OPTIONS);
    let long = prompt(300);
    let expected = fresh(&mut engine, &long, 8);

    let cancel = Cancel::default();
    cancel.cancel();
    let none = &mut |_: Event<'_>| ControlFlow::Continue(());
    let before = pollster::block_on(engine.generate(&request(&long, 8, SamplingOptions::greedy()), &cancel, none)).unwrap();
    assert_eq!((before.finish, before.ids.len()), (Finish::Cancelled, 0));
    assert_eq!(greedy(&mut engine, &long, 8).ids, expected);

    logits(&mut engine, &[0]);
    for how in ["cancel", "break"] {
        let (cancel, mut chunks) = (Cancel::default(), Vec::new());
        let mut on_event = |event: Event<'_>| {
            if let Event::Prefill { done, total } = event {
                chunks.push((done, total));
            }
            match how {
                _ if chunks.len() < 2 => ControlFlow::Continue(()),
                "break" => ControlFlow::Break(()),
                _ => {
                    cancel.cancel();
                    ControlFlow::Continue(())
                }
            }
        };
        let during = pollster::block_on(engine.generate(&request(&long, 8, SamplingOptions::greedy()), &cancel, &mut on_event)).unwrap();
        assert_eq!((during.finish, during.ids.len(), chunks.len()), (Finish::Cancelled, 0, 2), "{chunks:?}");
        assert!(chunks[1].0 < 300 && chunks[1].1 == 300, "{chunks:?}");
        let next = greedy(&mut engine, &long, 8);
        assert_eq!((next.n_reused, &next.ids), (chunks[1].0, &expected));
        logits(&mut engine, &[0]);
    }

    for how in [Finish::Cancelled, Finish::Break] {
        let (cancel, mut n) = (Cancel::default(), 0);
        let mut on_event = |event: Event<'_>| {
            n += usize::from(matches!(event, Event::Token(_)));
            match how {
                _ if n < 5 => ControlFlow::Continue(()),
                Finish::Break => ControlFlow::Break(()),
                _ => {
                    cancel.cancel();
                    ControlFlow::Continue(())
                }
            }
        };
        let mid = pollster::block_on(engine.generate(&request(&long, 8, SamplingOptions::greedy()), &cancel, &mut on_event)).unwrap();
        assert_eq!((mid.finish, &mid.ids[..]), (how, &expected[..5]));
        // What was computed ahead of the cancelled token is not taken for the next conversation's.
        let mut other: Vec<u32> = [&long[..], &mid.ids].concat();
        other.extend([3, 1, 4]);
        let next = greedy(&mut engine, &other, 8).ids;
        assert_eq!(next, fresh(&mut engine, &other, 8));
        assert_eq!(greedy(&mut engine, &long, 8).ids, expected);
    }
}

#[test]
fn sampling_does_what_its_options_say() {
    let mut engine = nano(&gpu(), OPTIONS);
    let prompt = prompt(20);
    let drawn = |engine: &mut Engine, sampling| ids(engine, &prompt, 24, sampling);
    let seeded = |seed| SamplingOptions { temperature: 2.0, seed, ..SamplingOptions::default() };

    let once = drawn(&mut engine, seeded(7));
    assert_eq!(once, drawn(&mut engine, seeded(7)));
    assert_ne!(once, drawn(&mut engine, seeded(8)));

    let plain = drawn(&mut engine, SamplingOptions::greedy());
    let biased = |bias| SamplingOptions { logit_bias: vec![bias], ..SamplingOptions::greedy() };
    assert_eq!(drawn(&mut engine, biased((123, 100.0))), [123; 24]);
    assert!(!drawn(&mut engine, biased((plain[0], -100.0))).contains(&plain[0]));
    assert_eq!(drawn(&mut engine, SamplingOptions::greedy()), plain, "a bias outlives its request");
    assert_eq!(drawn(&mut engine, SamplingOptions { top_k: 1, ..seeded(3) }), plain);
    assert_eq!(drawn(&mut engine, SamplingOptions { top_p: 1e-6, ..seeded(3) }), plain);
    assert_eq!(drawn(&mut engine, SamplingOptions { top_p: 0.0, ..seeded(3) }), plain);
    assert_eq!(drawn(&mut engine, SamplingOptions { min_p: 1.0, ..seeded(3) }), plain);

    // 30 above the others, a token is drawn again and again until what is taken off has grown to that.
    let liked = SamplingOptions { logit_bias: vec![(50, 30.0)], ..SamplingOptions::greedy() };
    let count = |ids: &[u32]| ids.iter().filter(|id| **id == 50).count();
    assert_eq!(count(&drawn(&mut engine, liked.clone())), 24);
    let by_count = count(&drawn(&mut engine, SamplingOptions { frequency_penalty: 10.0, ..liked.clone() }));
    assert!((1..12).contains(&by_count), "drawn {by_count} times with a frequency penalty");
    let once = count(&drawn(&mut engine, SamplingOptions { presence_penalty: 100.0, ..liked.clone() }));
    assert_eq!(once, 1);
    let rewarded = count(&drawn(&mut engine, SamplingOptions { presence_penalty: -100.0, ..liked.clone() }));
    assert_eq!(rewarded, 24);
    // The prompt does not count for what was sampled, and does for what was seen.
    let seen = [&[50][..], &prompt].concat();
    assert_eq!(count(&ids(&mut engine, &seen, 1, SamplingOptions { presence_penalty: 100.0, ..liked })), 1);
    let is_new = |ids: &[u32]| (0..ids.len()).all(|i| !prompt.contains(&ids[i]) && !ids[..i].contains(&ids[i]));
    assert!(!is_new(&plain), "{plain:?} has nothing that a penalty could take out");
    let varied = drawn(&mut engine, SamplingOptions { repetition_penalty: 1000.0, ..SamplingOptions::greedy() });
    assert!(is_new(&varied), "{varied:?} repeats itself or {prompt:?}");
}

#[test]
fn rows_that_pad_the_vocabulary_are_never_drawn() {
    let mut engine = nano(&gpu(), OPTIONS);
    let hot = SamplingOptions { temperature: 2.0, seed: 1, ..SamplingOptions::default() };
    let drawn = ids(&mut engine, &prompt(20), 300, hot.clone());
    assert_eq!(drawn.len(), 300);
    assert!(drawn.iter().all(|id| *id < 296), "{drawn:?}");
    let bias = (296..300).map(|id| (id, 100.0)).collect();
    let wanted = ids(&mut engine, &prompt(20), 20, SamplingOptions { logit_bias: bias, ..hot });
    assert!(wanted.iter().all(|id| *id < 296), "{wanted:?}");
}

#[test]
fn logprobs_are_the_log_softmax_of_the_logits() {
    let mut engine = nano(&gpu(), OPTIONS);
    let prompt = prompt(20);
    let sampling = SamplingOptions { n_logprobs: 20, ..SamplingOptions::greedy() };
    let (_, tokens) = answer(&mut engine, &request(&prompt, 3, sampling));
    let mut sequence = prompt;
    for token in tokens {
        // The model's own distribution, padding rows included.
        let logits: Vec<f64> = logits(&mut engine, &sequence).iter().map(|x| f64::from(*x)).collect();
        let most = logits.iter().copied().fold(f64::MIN, f64::max);
        let total = logits.iter().map(|x| (x - most).exp()).sum::<f64>().ln() + most;
        assert_eq!(token.top.len(), 20);
        assert_eq!(token.top[0], (token.id, token.logprob));
        assert!(token.top.is_sorted_by(|a, b| a.1 >= b.1), "{:?}", token.top);
        assert!(token.top.iter().map(|(_, p)| f64::from(*p).exp()).sum::<f64>() < 1.0);
        for (id, logprob) in token.top {
            let expected = logits[id as usize] - total;
            assert!((f64::from(logprob) - expected).abs() < 1e-4, "token {id}: {logprob}, log-softmax {expected}");
        }
        sequence.push(token.id);
    }
}

#[test]
fn a_decode_step_writes_nothing_and_makes_no_bind_group() {
    let mut engine = nano(&gpu(), OPTIONS);
    let prompt = prompt(20);
    // The first answers make what later ones use again; one token more is one step more.
    greedy(&mut engine, &prompt, 40);
    greedy(&mut engine, &prompt, 2);
    let mut spent = |n| {
        let before = engine.gpu().counters();
        assert_eq!(greedy(&mut engine, &prompt, n).ids.len(), n as usize);
        engine.gpu().counters() - before
    };
    let (short, long) = (spent(8), spent(40));
    let more = long - short;
    assert_eq!((more.bytes_written, more.bind_groups), (0, 0));
    assert_eq!((more.readbacks, more.bytes_read), (32, 32 * 32));
    assert!(more.dispatches > 32 && more.dispatches % 32 == 0, "{} dispatches", more.dispatches);
}

#[test]
fn requests_that_cannot_be_met_are_refused_in_words() {
    let mut engine = nano(&gpu(), Options { context: 64, ..OPTIONS });
    let mut refused = |prompt: &[u32], max_tokens, change: fn(&mut SamplingOptions), stops: &[u32]| {
        let mut sampling = SamplingOptions::greedy();
        change(&mut sampling);
        let request = Request { prompt, max_tokens, sampling, stops };
        pollster::block_on(engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap_err()
    };
    assert!(matches!(refused(&[], 1, |_| {}, &[]), Error::EmptyPrompt));
    assert!(matches!(refused(&[1; 65], 1, |_| {}, &[]), Error::ContextLength { got: 65, context: 64 }));
    assert!(matches!(refused(&[1, 300], 1, |_| {}, &[]), Error::TokenRange { id: 300, n_vocab: 300 }));
    type Change = fn(&mut SamplingOptions);
    let changes: [(&str, Change); 13] = [
        ("temperature is -1", |s| s.temperature = -1.0),
        ("temperature is NaN", |s| s.temperature = f32::NAN),
        ("temperature is inf", |s| s.temperature = f32::INFINITY),
        ("top_p is -0.1", |s| s.top_p = -0.1),
        ("top_p is 1.5", |s| s.top_p = 1.5),
        ("min_p is -0.1", |s| s.min_p = -0.1),
        ("min_p is 2", |s| s.min_p = 2.0),
        ("repetition_penalty is 0", |s| s.repetition_penalty = 0.0),
        ("frequency_penalty is NaN", |s| s.frequency_penalty = f32::NAN),
        ("presence_penalty is inf", |s| s.presence_penalty = f32::INFINITY),
        ("top_logprobs is 21", |s| s.n_logprobs = 21),
        ("logit_bias is NaN for token 5", |s| s.logit_bias = vec![(5, f32::NAN)]),
        ("logit_bias is inf for token 5", |s| s.logit_bias = vec![(5, f32::INFINITY)]),
    ];
    for (words, change) in changes {
        let said = refused(&[1], 1, change, &[]).to_string();
        assert!(said.contains(words) && said.contains("expected"), "{said:?} lacks {words:?}");
    }
    assert!(matches!(refused(&[1], 1, |s| s.logit_bias = vec![(300, 1.0)], &[]), Error::TokenRange { id: 300, n_vocab: 300 }));
    assert!(refused(&[1], 0, |_| {}, &[]).to_string().contains("max_tokens is 0"));
    assert!(refused(&[1], 1, |_| {}, &[0; 17]).to_string().contains("stop tokens is 17"));
    assert!(matches!(pollster::block_on(engine.logits(&[], true)), Err(Error::EmptyPrompt)));
    assert_eq!(greedy(&mut engine, &[1], 3).ids.len(), 3, "a refused request ends no session");
}

#[test]
fn a_refused_request_leaves_the_cache_as_it_was() {
    let mut engine = nano(&gpu(), OPTIONS);
    let prompt = prompt(20);
    let before = greedy(&mut engine, &prompt, 6);
    let bad = request(&prompt, 6, SamplingOptions { top_p: -1.0, ..SamplingOptions::greedy() });
    let refused = pollster::block_on(engine.generate(&bad, &Cancel::default(), &mut |_| ControlFlow::Continue(())));
    assert!(matches!(refused, Err(Error::Option { name: "top_p", .. })));
    let after = greedy(&mut engine, &prompt, 6);
    assert_eq!((after.n_reused, after.ids), (prompt.len() - 2, before.ids));
}

#[test]
fn a_chunk_smaller_than_the_first_step_is_kept_to() {
    let gpu = gpu();
    let prompt = prompt(40);
    let expected = greedy(&mut nano(&gpu, OPTIONS), &prompt, 6).ids;
    let mut small = nano(&gpu, Options { chunk: 4, logit_rows: 4, ..OPTIONS });
    assert_eq!(greedy(&mut small, &prompt, 6).ids, expected);
    small.gpu().check().unwrap();
}

#[test]
fn how_weights_are_cut_changes_no_logit() {
    let gpu = gpu();
    let tokens = prompt(20);
    let options = |max_binding| Options { context: 20, chunk: 4, logit_rows: 4, max_binding, ..OPTIONS };
    let mut whole = nano(&gpu, options(128 << 20));
    // Just what the keys of so short a context need.
    let mut cut = nano(&gpu, options(10 << 10));
    let layer = &cut.model().layers[0];
    let parts = [cut.model().output.parts.len(), layer.attn_output.parts.len(), layer.gate.parts.len(), layer.down.parts.len()];
    assert!(parts.iter().all(|n| *n > 1), "{parts:?} parts of output, attn_output, gate and down");
    assert_eq!(layer.qkv.len(), 3, "q, k and v together are larger than a binding");
    let all = |engine: &mut Engine| pollster::block_on(engine.logits(&tokens, true)).unwrap();
    let (whole, cut) = (all(&mut whole), all(&mut cut));
    assert_eq!(whole.len(), 20 * N_VOCAB);
    let error = relative_rms(&cut, &whole);
    assert!(error < 1e-6, "relative RMS {error:.1e}");
}

/// nano with the weights of `attn_k` or `attn_v` as what they stand for.
fn nano_in_f32(which: &str) -> api::Files {
    let (files, bytes) = (open(&vector("nano/nano.gguf")), std::fs::read(vector("nano/nano.gguf")).unwrap());
    let mut writer = Writer::new(files.directory.metadata.clone()).unwrap();
    let is_other = |name: &str| name.ends_with(which);
    for tensor in files.directory.tensors.iter() {
        writer.add(&tensor.name, &tensor.shape, if is_other(&tensor.name) { DType::F32 } else { tensor.dtype }).unwrap();
    }
    let mut data = writer.start(Vec::new()).unwrap();
    for tensor in files.directory.tensors.iter() {
        let bytes = &bytes[tensor.start as usize..][..tensor.bytes as usize];
        let mut values = vec![0f32; tensor.shape.iter().product::<u64>() as usize];
        tensor.dtype.dequantize(bytes, &mut values).unwrap();
        data.tensor(&tensor.name, if is_other(&tensor.name) { bytemuck::cast_slice(&values) } else { bytes }).unwrap();
    }
    open_bytes(data.finish().unwrap()).unwrap()
}

#[test]
fn projections_of_different_types_take_no_more_dispatches_than_types_and_give_the_same_logits() {
    let gpu = gpu();
    let tokens = prompt(20);
    let expected = pollster::block_on(nano(&gpu, OPTIONS).logits(&tokens, true)).unwrap();
    for (which, n) in [("attn_v.weight", 2), ("attn_k.weight", 3)] {
        let files = nano_in_f32(which);
        let mut engine = engine_of(gpu.clone(), &files, Model::new(&files.directory, OPTIONS).unwrap());
        assert!(engine.model().layers.iter().all(|layer| layer.qkv.len() == n), "{which}");
        let error = relative_rms(&pollster::block_on(engine.logits(&tokens, true)).unwrap(), &expected);
        assert!(error < 1e-5, "{which}: relative RMS {error:.1e}");
    }
}

#[test]
fn a_model_in_three_shards_gives_the_logits_of_the_one_file() {
    let gpu = gpu();
    let (files, bytes) = (open(&vector("nano/nano.gguf")), std::fs::read(vector("nano/nano.gguf")).unwrap());
    let mut writer = Writer::new(files.directory.metadata.clone()).unwrap();
    for tensor in files.directory.tensors.iter() {
        writer.add(&tensor.name, &tensor.shape, tensor.dtype).unwrap();
    }
    let mut sources: Vec<Rc<dyn store::Source>> = Vec::new();
    for (i, shard) in writer.split(3).unwrap().into_iter().enumerate() {
        let names: Vec<String> = shard.tensors().iter().map(|t| t.name.clone()).collect();
        assert!(!names.is_empty());
        let mut data = shard.start(Vec::new()).unwrap();
        for name in names {
            let tensor = files.directory.get(&name).unwrap();
            data.tensor(&name, &bytes[tensor.start as usize..][..tensor.bytes as usize]).unwrap();
        }
        sources.push(Rc::new(store::Memory::new(format!("shard {i}"), data.finish().unwrap())));
    }
    let shards = pollster::block_on(api::Files::from_sources(sources)).unwrap();
    let mut sharded = engine_of(gpu.clone(), &shards, Model::new(&shards.directory, OPTIONS).unwrap());
    let tokens = prompt(40);
    assert_eq!(logits(&mut sharded, &tokens), logits(&mut nano(&gpu, OPTIONS), &tokens));
}
