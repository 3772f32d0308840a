//! Devices that are lost: answers go on on another one.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;

use api::LoadOptions;
use engine::{Cancel, Engine, Error, Event, Finish, Generated, Gpu, Request, SamplingOptions, Urgency};
use model::{Model, Options};
use tests::{gpu, lazy_engine_of, open, vector};

const PROMPT: [u32; 7] = [5, 80, 200, 17, 9, 33, 140];
const N_TOKENS: u32 = 24;

/// 16 experts, of which 5 have a slot.
fn engine() -> Engine {
    let files = open(&vector("nano-moe16/nano-moe16.gguf"));
    let options = Options { context: 128, slots: Some(5), ..Options::default() };
    lazy_engine_of(gpu(), &files, Model::new(&files.directory, options).unwrap())
}

/// An answer during which the device is lost after so many tokens.
fn answer(engine: &mut Engine, sampling: &SamplingOptions, lost_after: Option<usize>) -> Result<Generated, Error> {
    losing(engine, sampling, lost_after, Gpu::lose)
}

/// The same, with a way to lose it.
fn losing(engine: &mut Engine, sampling: &SamplingOptions, lost_after: Option<usize>, lose: impl Fn(&Gpu)) -> Result<Generated, Error> {
    let request = Request { prompt: &PROMPT, max_tokens: N_TOKENS, sampling: sampling.clone(), stops: &[] };
    let gpu = engine.gpu().clone();
    let mut n_tokens = 0;
    pollster::block_on(engine.generate(&request, &Cancel::default(), &mut |event| {
        if let Event::Token(_) = event {
            n_tokens += 1;
            if lost_after == Some(n_tokens) {
                lose(&gpu);
            }
        }
        ControlFlow::Continue(())
    }))
}

#[test]
fn an_answer_whose_device_is_lost_goes_on_with_the_same_words() {
    let drawn =
        SamplingOptions { temperature: 0.8, seed: 11, frequency_penalty: 0.4, repetition_penalty: 1.1, ..SamplingOptions::default() };
    for sampling in [SamplingOptions::greedy(), drawn] {
        let whole = answer(&mut engine(), &sampling, None).unwrap();
        assert_eq!(whole.ids.len(), N_TOKENS as usize);
        for lost_after in [1, 9, 24] {
            let mut engine = engine();
            let got = answer(&mut engine, &sampling, Some(lost_after)).unwrap();
            assert_eq!((got.ids, got.finish), (whole.ids.clone(), whole.finish), "lost after {lost_after} tokens");
            // And so does the next one.
            assert_eq!(answer(&mut engine, &sampling, None).unwrap().ids, whole.ids, "after a loss");
        }
    }
}

#[test]
fn a_device_lost_between_two_answers_is_replaced_when_the_next_one_begins() {
    let mut engine = engine();
    let whole = answer(&mut engine, &SamplingOptions::greedy(), None).unwrap();
    engine.gpu().lose();
    let again = answer(&mut engine, &SamplingOptions::greedy(), None).unwrap();
    assert_eq!((again.ids, again.n_reused), (whole.ids, 0));
    assert!(engine.experts().n_placed() > 0);
}

#[test]
fn what_was_counted_before_a_loss_still_counts() {
    let mut engine = engine();
    answer(&mut engine, &SamplingOptions::greedy(), None).unwrap();
    let (paging, counters) = (engine.experts().paging(), engine.gpu().counters());
    engine.gpu().lose();
    answer(&mut engine, &SamplingOptions::greedy(), None).unwrap();
    let after = engine.experts().paging();
    assert!(after.misses > paging.misses && after.dense_bytes == 2 * paging.dense_bytes, "{paging:?}, then {after:?}");
    assert!(engine.gpu().counters().dispatches > counters.dispatches);
}

#[test]
fn on_a_lost_device_nothing_is_fetched_in_the_background() {
    let mut engine = engine();
    engine.gpu().lose();
    let said = pollster::block_on(engine.fill(Urgency::Background, &Cancel::default())).unwrap_err().to_string();
    assert!(said.contains("the GPU was lost"), "{said}");
    assert_eq!(engine.experts().n_placed(), 0);
}

#[test]
fn an_answer_stopped_while_its_device_is_replaced_spoils_nothing() {
    let whole = answer(&mut engine(), &SamplingOptions::greedy(), None).unwrap();
    let mut engine = engine();
    let (gpu, cancel) = (engine.gpu().clone(), Cancel::default());
    let request = Request { prompt: &PROMPT, max_tokens: N_TOKENS, sampling: SamplingOptions::greedy(), stops: &[] };
    let stopped = pollster::block_on(engine.generate(&request, &cancel, &mut |event| {
        if let Event::Token(_) = event {
            gpu.lose();
            cancel.cancel();
        }
        ControlFlow::Continue(())
    }));
    assert_eq!(stopped.unwrap().finish, Finish::Cancelled);
    assert_eq!(answer(&mut engine, &SamplingOptions::greedy(), None).unwrap().ids, whole.ids);
}

#[test]
fn where_the_next_device_has_less_memory_the_answer_goes_on_with_fewer_slots() {
    let files = open(&vector("nano-moe16/nano-moe16.gguf"));
    let options = Options { context: 128, max_binding: gpu().max_binding(), ..Options::default() };
    let model = Model::new(&files.directory, options).unwrap();
    let mut engine = lazy_engine_of(gpu(), &files, model.clone());
    let whole = answer(&mut engine, &SamplingOptions::greedy(), None).unwrap();
    // A quarter less at each try: 12, 9, 6, 5.
    for (slots, got) in [(11, 9), (5, 5)] {
        let mut engine = lazy_engine_of(gpu(), &files, model.clone());
        assert_eq!(engine.experts().n_slots(), 16);
        let room = model.with_slots(slots).unwrap().gpu_bytes();
        let got_on = losing(&mut engine, &SamplingOptions::greedy(), Some(9), |gpu| {
            gpu.lose();
            gpu.confine(room);
        });
        assert_eq!(got_on.unwrap().ids, whole.ids, "{got} slots");
        assert_eq!((engine.experts().n_slots(), engine.model().n_slots), (got, got));
        assert_eq!(answer(&mut engine, &SamplingOptions::greedy(), None).unwrap().ids, whole.ids, "after a loss");
    }
}

#[test]
fn a_device_that_runs_out_of_memory_in_an_answer_makes_way_for_one_with_fewer_slots() {
    let files = open(&vector("nano-moe16/nano-moe16.gguf"));
    let options = Options { context: 128, max_binding: gpu().max_binding(), ..Options::default() };
    let mut engine = lazy_engine_of(gpu(), &files, Model::new(&files.directory, options).unwrap());
    let whole = answer(&mut engine, &SamplingOptions::greedy(), None).unwrap();
    let got_on = losing(&mut engine, &SamplingOptions::greedy(), Some(9), Gpu::run_out).unwrap();
    assert_eq!((got_on.ids, engine.experts().n_slots()), (whole.ids.clone(), 12));
    // A plan that can be no smaller is tried as it is.
    let mut least = self::engine();
    let got_on = losing(&mut least, &SamplingOptions::greedy(), Some(9), Gpu::run_out).unwrap();
    assert_eq!((got_on.ids, least.experts().n_slots()), (whole.ids, 5));
}

/// An engine with 16 experts a layer, if there is room, of which `lose` sees each device in the middle of being loaded, and how many there were.
fn load(lose: &dyn Fn(&Gpu)) -> (Result<Engine, api::Error>, usize) {
    let files = open(&vector("nano-moe16/nano-moe16.gguf"));
    let options = LoadOptions { model: Options { context: 128, ..Options::default() }, ..LoadOptions::default() };
    let first = gpu();
    let mut n_devices = 0;
    let mut on_progress = |progress: api::Progress| {
        n_devices += usize::from(progress.loaded == 0);
        if progress.loaded > progress.total / 2 {
            lose(&first);
        }
    };
    let loaded = pollster::block_on(api::Model::load(&files, first.clone(), options, &Cancel::default(), &mut on_progress));
    (loaded.map(|model| model.engine), n_devices)
}

#[test]
fn a_device_that_is_lost_while_a_model_loads_makes_way_for_another() {
    let (whole, n_devices) = load(&|_| {});
    let mut whole = whole.unwrap();
    assert_eq!((whole.experts().n_slots(), n_devices), (16, 1));
    let ids = answer(&mut whole, &SamplingOptions::greedy(), None).unwrap().ids;
    for (lose, slots) in [(Gpu::lose as fn(&Gpu), 16), (Gpu::run_out, 12)] {
        let (engine, n_devices) = load(&lose);
        let mut engine = engine.unwrap();
        assert_eq!((engine.experts().n_slots(), n_devices), (slots, 2));
        assert_eq!(answer(&mut engine, &SamplingOptions::greedy(), None).unwrap().ids, ids, "{slots} slots");
    }
}
