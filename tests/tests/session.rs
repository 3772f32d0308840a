//! A conversation on the GPU: what is kept of it, how it ends, what sampling may choose, and that neither cut weights
//! nor shards change a logit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::ops::ControlFlow;
use std::rc::Rc;

use api::Files;
use engine::{Cancel, Engine, Error, Event, Finish, Generated, Gpu, Request, SamplingOptions, Token};
use gguf::Writer;
use kernels::ops::KvType;
use model::{Model, Options};
use tests::{engine_of, gpu, open, read_ids, relative_rms, vector};

const CONTEXT: u32 = 768;
const N_VOCAB: usize = 300;
/// Rows of the vocabulary that no token has.
const PADDING: std::ops::Range<u32> = 296..300;

fn nano() -> Files {
    open(&vector("nano/nano.gguf"))
}

fn engine(gpu: &Gpu, files: &Files, options: Options) -> Engine {
    engine_of(gpu.clone(), files, Model::new(&files.directory, options).unwrap())
}

fn options() -> Options {
    Options { context: CONTEXT, chunk: 64, logit_rows: 16, ..Options::default() }
}

/// The first `n` tokens of the golden run.
fn prompt(n: usize) -> Vec<u32> {
    read_ids("nano/tokens-900.txt")[..n].to_vec()
}

fn greedy(prompt: &[u32], max_tokens: u32) -> Request<'_> {
    Request { prompt, max_tokens, sampling: SamplingOptions::greedy(), stops: &[] }
}

fn sampled(prompt: &[u32], max_tokens: u32, sampling: SamplingOptions) -> Request<'_> {
    Request { prompt, max_tokens, sampling, stops: &[] }
}

fn go(engine: &mut Engine, request: &Request<'_>) -> Result<Generated, Error> {
    pollster::block_on(engine.generate(request, &Cancel::default(), &mut |_| ControlFlow::Continue(())))
}

/// The answer, and each of its tokens as it came.
fn tokens(engine: &mut Engine, request: &Request<'_>) -> (Generated, Vec<Token>) {
    let mut tokens = Vec::new();
    let generated = pollster::block_on(engine.generate(request, &Cancel::default(), &mut |event| {
        if let Event::Token(token) = event {
            tokens.push(token.clone());
        }
        ControlFlow::Continue(())
    }));
    (generated.unwrap(), tokens)
}

/// Makes the cache hold another sequence, so that nothing of the next prompt is known.
fn forget(engine: &mut Engine) {
    go(engine, &greedy(&[0], 1)).unwrap();
}

/// Greedy ids as from an engine that knows nothing yet.
fn fresh(engine: &mut Engine, prompt: &[u32], max_tokens: u32) -> Vec<u32> {
    forget(engine);
    let generated = go(engine, &greedy(prompt, max_tokens)).unwrap();
    assert!(generated.n_reused <= 1, "{} tokens of a fresh prompt were known", generated.n_reused);
    generated.ids
}

/// All that one engine can show: lavapipe is slow to start.
#[test]
fn a_session_keeps_what_it_may_and_says_why_it_ends() {
    let (gpu, files) = (gpu(), nano());
    let engine = &mut engine(&gpu, &files, options());
    check_prefixes(engine);
    check_ends(engine);
    check_cancellation(engine);
    check_refusals(engine);
    check_seeds(engine);
    check_biases(engine);
    check_penalties(engine);
    check_logprobs(engine);
    check_padding(engine);
    check_decode_costs(engine);
}

fn check_prefixes(engine: &mut Engine) {
    // The windows' rings hold 128 + 512 positions: 100 is out of their reach after 700.
    let [short, middle, long] = [40, 60, 700].map(prompt);
    let turn_of = |start: &[u32], ids: &[u32]| [start, ids, &[7, 8, 9]].concat();
    let mut other = middle.clone();
    other[0] = (other[0] + 1) % 256;

    let answer = fresh(engine, &short, 8);
    let second_turn = turn_of(&short, &answer);
    let changed: Vec<u32> = second_turn[..44].iter().copied().chain([1, 2, 3]).collect();
    // What is asked, and of how many of its tokens something is known from the prompt before.
    let turns: [(&str, &[u32], std::ops::RangeInclusive<usize>); 7] = [
        ("extended", &second_turn, 47..=48),
        ("gone back a little", &changed, 44..=44),
        ("the same again", &changed, 46..=46),
        ("another first token", &other, 0..=0),
        ("long", &long, 0..=1),
        ("back within the rings", &long[..690], 689..=689),
        ("back further than the rings remember", &long[..100], 0..=0),
    ];
    let expected: Vec<Vec<u32>> = turns.iter().map(|turn| fresh(engine, turn.1, 6)).collect();
    assert_eq!(fresh(engine, &short, 8), answer);
    for ((name, prompt, known), expected) in turns.into_iter().zip(expected) {
        let got = go(engine, &greedy(prompt, 6)).unwrap();
        assert_eq!(got.ids, expected, "{name}: {} tokens kept", got.n_reused);
        assert!(known.contains(&got.n_reused), "{name}: {} tokens kept", got.n_reused);
    }
}

fn check_ends(engine: &mut Engine) {
    let prompt = prompt(40);
    let free = fresh(engine, &prompt, 24);
    assert_eq!(free.len(), 24);
    let full = go(engine, &greedy(&prompt, 5)).unwrap();
    assert_eq!((full.ids.as_slice(), full.finish), (&free[..5], Finish::Length));

    let at = 6.max(free.iter().position(|id| *id == free[6]).unwrap());
    let first = free.iter().position(|id| *id == free[at]).unwrap();
    let stopped = go(engine, &Request { stops: &[PADDING.start, free[at]], ..greedy(&prompt, 24) }).unwrap();
    assert_eq!((stopped.ids.as_slice(), stopped.finish), (&free[..=first], Finish::Stop(free[at])));
    // Steps ran ahead of the stop; nothing of them is left.
    assert_eq!(go(engine, &greedy(&prompt, 24)).unwrap().ids, free);

    let mut n_seen = 0;
    let broken = pollster::block_on(engine.generate(&greedy(&prompt, 24), &Cancel::default(), &mut |event| {
        n_seen += usize::from(matches!(event, Event::Token(_)));
        if n_seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }));
    let broken = broken.unwrap();
    assert_eq!((broken.ids.as_slice(), broken.finish), (&free[..3], Finish::Break));

    // The last token is drawn at the last position and has no place of its own.
    let nearly_full: Vec<u32> = prompt.iter().copied().cycle().take(CONTEXT as usize - 4).collect();
    let ended = go(engine, &greedy(&nearly_full, 100)).unwrap();
    assert_eq!((ended.ids.len(), ended.finish), (5, Finish::Context));
    assert_eq!(fresh(engine, &prompt, 24), free);
}

fn check_cancellation(engine: &mut Engine) {
    let [short, long] = [40, 300].map(prompt);
    let expected = [&short, &long].map(|prompt| fresh(engine, prompt, 8));
    let cancelled_at = |engine: &mut Engine, prompt: &[u32], now: &dyn Fn(&Event<'_>, usize) -> bool| {
        let (cancel, mut n_tokens) = (Cancel::default(), 0);
        let generated = pollster::block_on(engine.generate(&greedy(prompt, 50), &cancel.clone(), &mut |event| {
            n_tokens += usize::from(matches!(event, Event::Token(_)));
            if now(&event, n_tokens) {
                cancel.cancel();
            }
            ControlFlow::Continue(())
        }));
        let generated = generated.unwrap();
        assert_eq!(generated.finish, Finish::Cancelled);
        generated.ids
    };

    forget(engine);
    let cancel = Cancel::default();
    cancel.cancel();
    let before = pollster::block_on(engine.generate(&greedy(&short, 8), &cancel, &mut |_| panic!("nothing was to be done"))).unwrap();
    assert_eq!((before.ids.len(), before.finish), (0, Finish::Cancelled));
    assert_eq!(go(engine, &greedy(&short, 8)).unwrap().ids, expected[0]);

    forget(engine);
    let ids = cancelled_at(engine, &long, &|event, _| matches!(event, Event::Prefill { .. }));
    assert!(ids.is_empty(), "cancelled after the first chunk, yet {ids:?} came");
    let resumed = go(engine, &greedy(&long, 8)).unwrap();
    assert!(resumed.n_reused > 0 && resumed.n_reused < long.len() - 1, "{} tokens kept of a cancelled prefill", resumed.n_reused);
    assert_eq!(resumed.ids, expected[1]);

    forget(engine);
    let ids = cancelled_at(engine, &short, &|event, _| matches!(event, Event::Prefill { done, total } if done == total));
    assert!(ids.is_empty(), "cancelled after the last chunk, yet {ids:?} came");
    assert_eq!(go(engine, &greedy(&short, 8)).unwrap().ids, expected[0]);

    let ids = cancelled_at(engine, &short, &|_, n_tokens| n_tokens == 3);
    assert_eq!(ids, expected[0][..3]);
    assert_eq!(go(engine, &greedy(&short, 8)).unwrap().ids, expected[0]);
    assert_eq!(go(engine, &greedy(&long, 8)).unwrap().ids, expected[1]);
}

fn check_refusals(engine: &mut Engine) {
    let short = prompt(20);
    let expected = fresh(engine, &short, 6);
    let context = CONTEXT as usize;
    assert!(
        matches!(go(engine, &greedy(&vec![1; context + 1], 1)), Err(Error::ContextLength { got, context: CONTEXT }) if got == context + 1)
    );
    assert!(matches!(go(engine, &greedy(&[], 1)), Err(Error::EmptyPrompt)));
    assert!(matches!(go(engine, &greedy(&[1, 300], 1)), Err(Error::TokenRange { id: 300, n_vocab: 300 })));
    assert!(matches!(go(engine, &greedy(&[u32::MAX], 1)), Err(Error::TokenRange { id: u32::MAX, .. })));

    let refused = |engine: &mut Engine, request: &Request<'_>| match go(engine, request) {
        Err(Error::Option { name, .. }) => name,
        other => panic!("an option out of range gave {other:?}"),
    };
    assert_eq!(refused(engine, &greedy(&short, 0)), "max_tokens");
    assert_eq!(refused(engine, &Request { stops: &[1; 17], ..greedy(&short, 1) }), "stop tokens");
    let base = SamplingOptions::default;
    for (name, sampling) in [
        ("temperature", SamplingOptions { temperature: -0.1, ..base() }),
        ("temperature", SamplingOptions { temperature: f32::NAN, ..base() }),
        ("temperature", SamplingOptions { temperature: f32::INFINITY, ..base() }),
        ("top_p", SamplingOptions { top_p: 0.0, ..base() }),
        ("top_p", SamplingOptions { top_p: 1.1, ..base() }),
        ("min_p", SamplingOptions { min_p: -0.5, ..base() }),
        ("min_p", SamplingOptions { min_p: 1.5, ..base() }),
        ("repetition_penalty", SamplingOptions { repetition_penalty: 0.0, ..base() }),
        ("frequency_penalty", SamplingOptions { frequency_penalty: f32::NAN, ..base() }),
        ("presence_penalty", SamplingOptions { presence_penalty: f32::INFINITY, ..base() }),
        ("top_logprobs", SamplingOptions { n_logprobs: 21, ..base() }),
        ("logit_bias", SamplingOptions { logit_bias: vec![(1, f32::NAN)], ..base() }),
    ] {
        assert_eq!(refused(engine, &sampled(&short, 1, sampling)), name);
    }
    let bias = SamplingOptions { logit_bias: vec![(300, 1.0)], ..base() };
    assert!(matches!(go(engine, &sampled(&short, 1, bias)), Err(Error::TokenRange { id: 300, n_vocab: 300 })));
    // A refused request leaves the cache as it was.
    let again = go(engine, &greedy(&short, 6)).unwrap();
    assert_eq!((again.ids, again.n_reused), (expected, short.len() - 1));
}

fn check_seeds(engine: &mut Engine) {
    let prompt = prompt(20);
    let mut draw = |seed: u32| go(engine, &sampled(&prompt, 24, SamplingOptions { seed, ..SamplingOptions::default() })).unwrap().ids;
    let first = draw(1);
    assert_eq!(draw(1), first);
    assert_ne!(draw(2), first);
    assert_eq!(draw(1), first);
}

fn check_biases(engine: &mut Engine) {
    let prompt = prompt(20);
    let biased = |bias: Vec<(u32, f32)>, temperature: f32| SamplingOptions { logit_bias: bias, temperature, ..SamplingOptions::default() };
    for temperature in [0.0, 1.0] {
        let forced = go(engine, &sampled(&prompt, 8, biased(vec![(65, 100.0)], temperature))).unwrap().ids;
        assert_eq!(forced, [65; 8], "at temperature {temperature}");
    }
    let free = go(engine, &greedy(&prompt, 12)).unwrap().ids;
    let banned: Vec<(u32, f32)> = free.iter().map(|id| (*id, -100.0)).collect();
    for temperature in [0.0, 1.0] {
        let others = go(engine, &sampled(&prompt, 12, biased(banned.clone(), temperature))).unwrap().ids;
        assert!(others.iter().all(|id| !free.contains(id)), "{others:?} has some of {free:?}");
    }
    assert_eq!(go(engine, &greedy(&prompt, 12)).unwrap().ids, free, "a bias must not outlive its request");
}

/// How many of `ids` occurred before in them.
fn repeats(ids: &[u32]) -> usize {
    (0..ids.len()).filter(|i| ids[..*i].contains(&ids[*i])).count()
}

fn check_penalties(engine: &mut Engine) {
    let prompt = prompt(20);
    // Equal likings for a few tokens make every repetition visible.
    let liked: Vec<(u32, f32)> = (65..75).map(|id| (id, 40.0)).collect();
    let with = |change: &dyn Fn(&mut SamplingOptions)| {
        let mut sampling = SamplingOptions { logit_bias: liked.clone(), ..SamplingOptions::greedy() };
        change(&mut sampling);
        sampling
    };
    let mut ids = |change: &dyn Fn(&mut SamplingOptions)| go(engine, &sampled(&prompt, 10, with(change))).unwrap().ids;
    let free = ids(&|_| {});
    assert!(repeats(&free) > 0, "{free:?} has nothing to penalise");
    assert_eq!(repeats(&ids(&|s| s.presence_penalty = 30.0)), 0);
    assert_eq!(repeats(&ids(&|s| s.frequency_penalty = 30.0)), 0);
    let clung = ids(&|s| s.frequency_penalty = -30.0);
    assert_eq!(clung, [clung[0]; 10], "a negative penalty favours what was said");

    let punished = |repetition_penalty| SamplingOptions { repetition_penalty, ..SamplingOptions::greedy() };
    let mut n_repeats = |penalty: f32| repeats(&go(engine, &sampled(&prompt, 60, punished(penalty))).unwrap().ids);
    let (free, fewer) = (n_repeats(1.0), n_repeats(3.0));
    assert!(free > fewer, "{free} repeats without a repetition penalty, {fewer} with it");

    // Only the repetition penalty looks at the prompt: one that would go on with a token of its own shows it.
    let (told, id) = (20..200)
        .map(self::prompt)
        .map(|prompt| (go(engine, &greedy(&prompt, 1)).unwrap().ids[0], prompt))
        .find_map(|(id, prompt)| prompt.contains(&id).then_some((prompt, id)))
        .unwrap();
    let mut next = |sampling: SamplingOptions| go(engine, &sampled(&told, 1, sampling)).unwrap().ids[0];
    assert_ne!(next(punished(1000.0)), id);
    assert_eq!(next(SamplingOptions { presence_penalty: 1000.0, frequency_penalty: 1000.0, ..SamplingOptions::greedy() }), id);
}

fn check_logprobs(engine: &mut Engine) {
    let prompt = prompt(20);
    let sampling = SamplingOptions { n_logprobs: 20, temperature: 0.7, seed: 5, ..SamplingOptions::default() };
    let (generated, tokens) = tokens(engine, &sampled(&prompt, 6, sampling));
    assert_eq!((generated.ids.len(), tokens.len()), (6, 6));
    let sequence: Vec<u32> = prompt.iter().chain(&generated.ids).copied().collect();
    let logits = pollster::block_on(engine.logits(&sequence, true)).unwrap();
    for (i, token) in tokens.iter().enumerate() {
        let row = &logits[(prompt.len() - 1 + i) * N_VOCAB..][..N_VOCAB];
        let total: f64 = row.iter().map(|l| f64::from(*l).exp()).sum();
        let logprob = |id: u32| f64::from(row[id as usize]) - total.ln();
        let mut likeliest: Vec<f64> = (0..N_VOCAB as u32).map(logprob).collect();
        likeliest.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(token.top.len(), 20);
        assert!(token.top.iter().map(|(_, logprob)| f64::from(*logprob).exp()).sum::<f64>() < 1.0);
        for ((id, got), expected) in token.top.iter().zip(likeliest) {
            assert!((f64::from(*got) - logprob(*id)).abs() < 1e-4, "token {i}: {id} has {got}, its logit says {}", logprob(*id));
            assert!((f64::from(*got) - expected).abs() < 1e-4, "token {i}: {id} is not in its place");
        }
        assert_eq!(token.id, generated.ids[i]);
        assert!((f64::from(token.logprob) - logprob(token.id)).abs() < 1e-4, "token {i}: {}", token.logprob);
    }
}

fn check_padding(engine: &mut Engine) {
    let hot = SamplingOptions { temperature: 2.0, seed: 3, ..SamplingOptions::default() };
    let ids = go(engine, &sampled(&prompt(8), 300, hot)).unwrap().ids;
    assert_eq!(ids.len(), 300);
    assert!(ids.iter().all(|id| !PADDING.contains(id)), "{ids:?}");
    let wanted = SamplingOptions { logit_bias: PADDING.map(|id| (id, 100.0)).collect(), ..SamplingOptions::default() };
    let ids = go(engine, &sampled(&prompt(8), 20, wanted)).unwrap().ids;
    assert!(ids.iter().all(|id| !PADDING.contains(id)), "even where a bias asks for them: {ids:?}");
}

fn check_decode_costs(engine: &mut Engine) {
    let prompt = prompt(20);
    go(engine, &greedy(&prompt, 4)).unwrap();
    let gpu = engine.gpu().clone();
    let mut cost = |n: u32| {
        let before = gpu.counters();
        assert_eq!(go(engine, &greedy(&prompt, n)).unwrap().ids.len(), n as usize);
        gpu.counters() - before
    };
    let (few, many) = (cost(4), cost(36));
    let more = many - few;
    assert_eq!((more.bytes_written, more.bind_groups), (0, 0), "of 32 more tokens: {more:?}");
    assert_eq!((more.readbacks, more.bytes_read), (32, 32 * 16), "an id comes back a token: {more:?}");
    assert!(more.dispatches > 0 && more.dispatches % 32 == 0, "{more:?}");
}

/// Nano as a set of `n` files in memory.
fn shards(files: &Files, n: usize) -> Files {
    let directory = &files.directory;
    let mut writer = Writer::new(directory.metadata.clone()).unwrap();
    for tensor in &directory.tensors {
        writer.add(&tensor.name, &tensor.shape, tensor.dtype).unwrap();
    }
    let mut sources: Vec<Rc<dyn store::Source>> = Vec::new();
    for (i, shard) in writer.split(n).unwrap().into_iter().enumerate() {
        let names: Vec<String> = shard.tensors().iter().map(|t| t.name.clone()).collect();
        assert!(!names.is_empty(), "shard {i} is empty");
        let mut file = Vec::new();
        let mut data = shard.start(&mut file).unwrap();
        for name in names {
            let tensor = directory.get(&name).unwrap();
            let range = tensor.start..tensor.start + tensor.bytes;
            data.tensor(&name, &pollster::block_on(store::read_vec(&*files.sources[tensor.shard], range)).unwrap()).unwrap();
        }
        data.finish().unwrap();
        sources.push(Rc::new(store::Memory::new(format!("shard {i}"), file)));
    }
    pollster::block_on(Files::from_sources(sources)).unwrap()
}

#[test]
fn cut_weights_and_shards_give_the_same_logits() {
    let (gpu, files) = (gpu(), nano());
    let small = Options { context: 16, chunk: 4, logit_rows: 4, kv: KvType::F32, ..Options::default() };
    let cut = Options { max_binding: 8192, ..small.clone() };

    let model = Model::new(&files.directory, cut.clone()).unwrap();
    let layer = &model.layers[0];
    assert!(model.output.parts.len() > 1 && model.token_embd.parts.len() > 1, "rows were to be cut");
    assert!(layer.qkv.len() > 1 && layer.attn_output.parts.len() > 1, "rows were to be cut");
    assert!(layer.gate.parts.len() > 1 && layer.down.parts.len() > 1, "slots were to be cut");

    let prompt = prompt(16);
    let logits = |files: &Files, options: Options| pollster::block_on(engine(&gpu, files, options).logits(&prompt, true)).unwrap();
    let whole = logits(&files, small.clone());
    assert!(whole.iter().all(|l| l.is_finite()) && whole.iter().any(|l| l.abs() > 0.1));
    // An expert's share is added when its part of the slots comes: in another order, so not to the last bit.
    let error = relative_rms(&logits(&files, cut), &whole);
    assert!(error < 1e-6, "cut into bindings of 8 KiB: relative RMS {error:.1e}");
    let in_shards = logits(&shards(&files, 3), small);
    assert!(in_shards == whole, "in three shards: relative RMS {:.1e}", relative_rms(&in_shards, &whole));
}
