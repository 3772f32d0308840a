//! Experts on demand: whatever part of them the GPU holds, the answer is that of the whole model, and no byte is read
//! that was not asked for.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use api::Files;
use engine::{
    Cancel, Engine, Error, Event, Feed, FeedError, Finish, Generated, Gpu, Reading, Request, Run, SamplingOptions, Sink, Urgency,
};
use kernels::ops::KvType;
use model::{Budget, Model, Options};
use tests::{Twins, engine_of, gpu, lazy_engine_of, made_model, open, read_ids, vector};

/// 4 layers of 16 experts, of which a token uses 4.
fn nano_moe16() -> Files {
    open(&vector("nano-moe16/nano-moe16.gguf"))
}

fn options(slots: Option<u32>) -> Options {
    Options { context: 1024, kv: KvType::F32, chunk: 256, slots, ..Options::default() }
}

fn lazy(gpu: &Gpu, files: &Files, slots: Option<u32>) -> Engine {
    lazy_engine_of(gpu.clone(), files, Model::new(&files.directory, options(slots)).unwrap())
}

fn prompt(n: usize) -> Vec<u32> {
    read_ids("nano-moe16/tokens-900.txt")[..n].to_vec()
}

fn greedy(engine: &mut Engine, prompt: &[u32], max_tokens: u32) -> Result<Generated, Error> {
    let request = Request { prompt, max_tokens, sampling: SamplingOptions::greedy(), stops: &[] };
    pollster::block_on(engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(())))
}

fn ids(engine: &mut Engine, prompt: &[u32], max_tokens: u32) -> Vec<u32> {
    greedy(engine, prompt, max_tokens).unwrap().ids
}

#[test]
fn with_all_half_or_the_fewest_slots_200_tokens_are_those_of_the_resident_model() {
    let (gpu, files) = (gpu(), nano_moe16());
    let mut whole = engine_of(gpu.clone(), &files, Model::new(&files.directory, options(None)).unwrap());
    assert!(whole.experts().is_whole());
    for n_prompt in [7, 600] {
        let prompt = prompt(n_prompt);
        let expected = ids(&mut whole, &prompt, 200);
        for slots in [16, 8, 5] {
            let mut paged = lazy(&gpu, &files, Some(slots));
            assert_eq!(ids(&mut paged, &prompt, 200), expected, "{slots} slots after {n_prompt} tokens");
            let p = paged.paging();
            println!(
                "{slots} slots after {n_prompt} tokens: {} hits, {} misses, {:.2} passes a token",
                p.hits,
                p.misses,
                p.passes as f64 / 200.0
            );
        }
    }
}

#[test]
fn logits_are_the_same_to_the_last_bit() {
    let (gpu, files) = (gpu(), nano_moe16());
    let tokens = prompt(70);
    let mut whole = engine_of(gpu.clone(), &files, Model::new(&files.directory, options(None)).unwrap());
    let expected = pollster::block_on(whole.logits(&tokens, false)).unwrap();
    for slots in [16, 5] {
        let logits = pollster::block_on(lazy(&gpu, &files, Some(slots)).logits(&tokens, false)).unwrap();
        assert!(logits.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{slots} slots");
    }
}

#[test]
fn a_real_model_answers_alike_with_all_half_and_the_fewest_slots() {
    let (gpu, files) = (gpu(), open(&made_model("smollm2-moe")));
    let prompt = &read_ids("smollm2/text.ids.txt")[..9];
    let mut engines = [None, Some(4), Some(3)].map(|slots| lazy(&gpu, &files, slots));
    let [expected, half, fewest] = engines.each_mut().map(|engine| ids(engine, prompt, 6));
    assert_eq!(half, expected);
    assert_eq!(fewest, expected);
}

#[test]
fn fewer_slots_than_a_token_uses_and_one_more_are_refused_in_words() {
    let files = nano_moe16();
    let refused = Model::new(&files.directory, options(Some(4))).unwrap_err();
    assert_eq!(refused.to_string(), "4 slots a layer are too few: a token uses 4 experts, so at least 5 are needed");
    assert_eq!(Model::new(&files.directory, options(Some(99))).unwrap().n_slots, 16);
}

#[test]
fn a_budget_becomes_as_many_slots_as_fit() {
    let files = nano_moe16();
    let whole = Model::new(&files.directory, options(None)).unwrap();
    let within = |budget| Model::within(&files.directory, options(None), Budget::Most(budget));
    assert_eq!(within(whole.gpu_bytes()).unwrap().n_slots, 16);
    for slots in 5..16 {
        let bytes = Model::new(&files.directory, options(Some(slots))).unwrap().gpu_bytes();
        assert_eq!(within(bytes).unwrap().n_slots, slots, "{bytes} B");
        assert_eq!(within(bytes + whole.slot_bytes() - 1).unwrap().n_slots, slots);
    }
    let least = Model::new(&files.directory, options(Some(5))).unwrap().gpu_bytes();
    let about = |bytes, slots| Model::within(&files.directory, options(slots), Budget::About(bytes)).unwrap().n_slots;
    assert_eq!([about(least, None), about(least - 1, None), about(0, None), about(0, Some(9)), about(u64::MAX, None)], [5, 5, 5, 9, 16]);
    let refused = within(least - 1).unwrap_err();
    assert_eq!(refused.to_string(), format!("the model needs {least} B of GPU memory, the budget is {} B", least - 1));
}

#[test]
fn a_token_whose_experts_are_all_there_costs_one_readback() {
    let (gpu, files) = (gpu(), nano_moe16());
    let mut engine = lazy(&gpu, &files, None);
    let prompt = prompt(600);
    let few = greedy(&mut engine, &prompt, 2).unwrap();
    assert!(pollster::block_on(engine.fill(Urgency::Background, &Cancel::default())).unwrap());
    assert!(engine.experts().is_whole());
    let mut before = engine.gpu().counters();
    let request = Request { prompt: &prompt, max_tokens: 40, sampling: SamplingOptions::greedy(), stops: &[] };
    let gpu_counters = engine.gpu().clone();
    let mut n_tokens = 0;
    let mut on_event = |event: Event<'_>| {
        match event {
            Event::Prefill { .. } => before = gpu_counters.counters(),
            Event::Token(_) => n_tokens += 1,
        }
        ControlFlow::Continue(())
    };
    let many = pollster::block_on(engine.generate(&request, &Cancel::default(), &mut on_event)).unwrap();
    assert_eq!(many.ids[..2], few.ids);
    let cost = engine.gpu().counters() - before;
    assert_eq!((cost.readbacks, n_tokens), (40, 40));
    assert!(cost.bytes_read <= 64 * 40, "{} B read", cost.bytes_read);
    assert_eq!((cost.bytes_written, cost.bind_groups), (0, 0));
}

#[test]
fn where_experts_may_be_missing_a_pass_costs_one_readback() {
    let mut engine = lazy(&gpu(), &nano_moe16(), Some(12));
    let (gpu, experts) = (engine.gpu().clone(), engine.experts().clone());
    let costs = || (gpu.counters().readbacks, experts.paging().passes);
    let (prompt, mut before) = (prompt(60), costs());
    let request = Request { prompt: &prompt, max_tokens: 40, sampling: SamplingOptions::greedy(), stops: &[] };
    let mut on_event = |event: Event<'_>| {
        if let Event::Prefill { .. } = event {
            before = costs();
        }
        ControlFlow::Continue(())
    };
    pollster::block_on(engine.generate(&request, &Cancel::default(), &mut on_event)).unwrap();
    let (readbacks, passes) = (costs().0 - before.0, costs().1 - before.1);
    // The prompt itself brings the first token; some others missed none.
    assert!(readbacks == passes + 1 && (39..2 * 39).contains(&passes), "{readbacks} readbacks for {passes} passes");
}

#[test]
fn the_routes_that_are_watched_are_those_of_the_twins() {
    let (gpu, files) = (gpu(), nano_moe16());
    let prompt = prompt(30);
    let mut tokens = prompt.clone();
    for slots in [None, Some(5)] {
        let mut engine = engine_of(gpu.clone(), &files, Model::new(&files.directory, options(slots)).unwrap());
        let unwatched = ids(&mut engine, &prompt, 10);
        // Whole where there is a slot for each expert.
        let mut engine = engine_of(gpu.clone(), &files, Model::new(&files.directory, options(slots)).unwrap());
        engine.watch_routes();
        assert_eq!(ids(&mut engine, &prompt, 10), unwatched);
        tokens.truncate(prompt.len());
        tokens.extend(&unwatched[..9]);
        let expected = Twins::new(&files, options(None)).routes(&tokens);
        let seen = engine.take_routes();
        assert_eq!(seen.len(), tokens.len() * expected.len());
        for (layer, expected) in expected.iter().enumerate() {
            let seen = seen.iter().filter(|routed| routed.layer as usize == layer).flat_map(|routed| &routed.choices);
            for (nth, (got, expected)) in seen.zip(expected).enumerate() {
                assert_eq!(got.expert, expected.expert, "layer {layer}, choice {nth}");
                assert!((got.weight - expected.weight).abs() < 1e-4, "layer {layer}, choice {nth}: {got:?}, {expected:?}");
            }
        }
        assert!(engine.take_routes().is_empty());
    }
}

#[test]
fn with_a_quarter_and_one_more_of_the_slots_a_token_takes_three_passes_at_most() {
    let (gpu, files) = (gpu(), nano_moe16());
    let mut engine = lazy(&gpu, &files, Some(5));
    ids(&mut engine, &prompt(40), 100);
    let passes = engine.paging().passes as f64 / 100.0;
    assert!(passes <= 3.0, "{passes} passes a token");
}

/// A feed that writes down what is asked of it and fails when told to.
#[derive(Debug)]
struct Watched {
    feed: Rc<dyn Feed>,
    asked: RefCell<Vec<Run>>,
    /// Reads that still succeed.
    good: Cell<usize>,
}

impl Feed for Watched {
    fn read<'a>(&'a self, runs: &'a [Run], urgency: Urgency, sink: &'a mut Sink<'_>) -> Reading<'a> {
        Box::pin(async move {
            if self.good.get() == 0 {
                // Some of it came.
                self.feed.read(&runs[..runs.len() / 2], urgency, sink).await?;
                return Err(Arc::new(std::io::Error::other("the cable was cut")) as FeedError);
            }
            self.good.set(self.good.get() - 1);
            self.asked.borrow_mut().extend_from_slice(runs);
            self.feed.read(runs, urgency, sink).await?;
            // Asks whether to go on, as whoever waits for a network does.
            let _ = sink(0, &[]);
            Ok(())
        })
    }
}

fn watched(gpu: &Gpu, files: &Files, slots: Option<u32>) -> (Engine, Rc<Watched>) {
    let feed = Rc::new(Watched { feed: files.feed(), asked: RefCell::default(), good: Cell::new(usize::MAX) });
    let model = Model::new(&files.directory, options(slots)).unwrap();
    let engine = pollster::block_on(async {
        let mut engine = Engine::new(gpu.clone(), model, feed.clone(), Vec::new()).await.unwrap();
        assert!(engine.load(&Cancel::default(), &mut |_| {}).await.unwrap());
        engine
    });
    (engine, feed)
}

#[test]
fn up_to_the_first_token_nothing_is_read_but_what_it_needs_and_nothing_twice() {
    let (gpu, files) = (gpu(), nano_moe16());
    let (mut engine, feed) = watched(&gpu, &files, None);
    ids(&mut engine, &prompt(5), 1);
    let paging = engine.paging();
    let (touched, per_expert) = (paging.touched.len() as u64, engine.model().bytes.per_expert);
    assert!(touched < 16 * 4, "a prompt of 5 tokens uses all experts");
    let asked: u64 = feed.asked.borrow().iter().map(|r| r.range.end - r.range.start).sum();
    assert_eq!(asked, engine.model().bytes.dense + touched * per_expert);
    assert_eq!((paging.dense_bytes, paging.expert_bytes), (engine.model().bytes.dense, touched * per_expert));

    ids(&mut engine, &prompt(300), 50);
    let mut asked = feed.asked.borrow().clone();
    asked.sort_by_key(|r| (r.shard, r.range.start));
    assert!(asked.windows(2).all(|w| w[0].shard != w[1].shard || w[0].range.end <= w[1].range.start), "a byte was read twice");
}

#[test]
fn a_read_that_fails_is_the_answers_error_and_the_next_answer_is_right() {
    let (gpu, files) = (gpu(), nano_moe16());
    let prompt = prompt(40);
    let expected = ids(&mut lazy(&gpu, &files, Some(8)), &prompt, 30);
    let (mut engine, feed) = watched(&gpu, &files, Some(8));
    for good in [0, 1, 3, 5, 8, 13] {
        feed.good.set(good);
        match greedy(&mut engine, &prompt, 30) {
            Err(Error::Feed(error)) => assert_eq!(error.to_string(), "the cable was cut"),
            other => unreachable!("{other:?}"),
        }
    }
    feed.good.set(usize::MAX);
    assert_eq!(ids(&mut engine, &prompt, 30), expected);
}

#[test]
fn cancelling_while_experts_are_fetched_ends_the_answer_and_spoils_nothing() {
    let (gpu, files) = (gpu(), nano_moe16());
    let prompt = prompt(40);
    let expected = ids(&mut lazy(&gpu, &files, Some(5)), &prompt, 20);
    let mut engine = lazy(&gpu, &files, Some(5));
    for n in 1..6 {
        let cancel = Cancel::default();
        let mut seen = Vec::new();
        let mut on_event = |event: Event<'_>| {
            if let Event::Token(token) = event {
                seen.push(token.id);
                if seen.len() == n {
                    cancel.cancel();
                }
            }
            ControlFlow::Continue(())
        };
        let request = Request { prompt: &prompt, max_tokens: 20, sampling: SamplingOptions::greedy(), stops: &[] };
        let ended = pollster::block_on(engine.generate(&request, &cancel, &mut on_event)).unwrap();
        assert_eq!((ended.finish, &seen[..]), (Finish::Cancelled, &expected[..n]));
    }
    assert_eq!(ids(&mut engine, &prompt, 20), expected);
}
