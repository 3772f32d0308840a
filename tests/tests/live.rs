//! What can be seen of experts while they are paged, the heat that is kept of them, and the background fill: over a source
//! that counts which bytes it was asked for.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use api::{Files, Fill, FillState, LiveEvent, LoadOptions, Model, Place};
use engine::{Cancel, Finish, Gpu, PagingEvent, Request, SamplingOptions, Shape, Urgency};
use model::Options;
use sha2::{Digest, Sha256};
use store::{Home, Library, LocalFuture, Memory, MemoryHome, Sink, Source, Sum, Traffic};
use tests::{gpu, open, read_ids, vector};

/// Memory that passes for a server.
#[derive(Debug)]
struct Remote {
    memory: Memory,
    size: u64,
    asked: RefCell<Vec<Range<u64>>>,
    traffic: Cell<Traffic>,
    /// What is said of all of it.
    sum: Cell<Option<Sum>>,
    is_down: Cell<bool>,
    /// Is paused as soon as a byte comes.
    fill: RefCell<Option<Fill>>,
}

impl Remote {
    fn new() -> Rc<Self> {
        let bytes = std::fs::read(vector("nano-moe16/nano-moe16.gguf")).unwrap();
        let size = bytes.len() as u64;
        let memory = Memory::new("http://model.example/nano.gguf", bytes);
        Rc::new(Self {
            memory,
            size,
            asked: RefCell::default(),
            traffic: Cell::default(),
            sum: Cell::default(),
            is_down: Cell::default(),
            fill: RefCell::default(),
        })
    }

    /// Bytes that were given.
    fn bytes(&self) -> u64 {
        self.traffic.get().bytes
    }

    fn asked_twice(&self) -> bool {
        let mut asked = self.asked.borrow().clone();
        asked.sort_by_key(|range| range.start);
        asked.windows(2).any(|two| two[0].end > two[1].start)
    }
}

impl Source for Remote {
    fn location(&self) -> &str {
        self.memory.location()
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, store::Error>> {
        Box::pin(async { Ok(self.size) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            if self.is_down.get() {
                return Err(store::Error::Cancelled { location: "the cable was cut".into() });
            }
            let start = range.start;
            let mut given = 0;
            let mut count = |piece: &[u8]| {
                given += piece.len() as u64;
                if let Some(fill) = &*self.fill.borrow() {
                    fill.pause();
                }
                sink(piece)
            };
            let read = self.memory.read(range, &mut count).await;
            let mut traffic = self.traffic.get();
            traffic.bytes += given;
            self.traffic.set(traffic);
            self.asked.borrow_mut().push(start..start + given);
            read
        })
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn sum(&self) -> Option<Sum> {
        self.sum.get()
    }

    fn traffic(&self) -> Traffic {
        self.traffic.get()
    }
}

/// A visit: the model opened, over a home if there is one.
fn visit(gpu: &Gpu, remote: &Rc<Remote>, home: Option<&Rc<MemoryHome>>, slots: Option<u32>) -> Model {
    visit_with(gpu, remote, home, slots, 0)
}

/// The same with so many bytes of host memory for experts.
fn visit_with(gpu: &Gpu, remote: &Rc<Remote>, home: Option<&Rc<MemoryHome>>, slots: Option<u32>, max_ram_bytes: u64) -> Model {
    pollster::block_on(async {
        let shards: Vec<Rc<dyn Source>> = vec![remote.clone()];
        let library = match home {
            Some(home) => Library::with_home(shards, home.clone() as Rc<dyn Home>).await.unwrap(),
            None => Library::new(shards),
        };
        // The header is read elsewhere: what is asked for at first is more than this whole model.
        let here = open(&vector("nano-moe16/nano-moe16.gguf"));
        let files = Files { library: Rc::new(library), header_bytes: 0, ..here };
        let model = Options { context: 512, slots, ..Options::default() };
        let options = LoadOptions { model, max_ram_bytes, ..LoadOptions::default() };
        Model::load(&files, gpu.clone(), options, &Cancel::default(), &mut |_| {}).await.unwrap()
    })
}

fn home() -> Rc<MemoryHome> {
    Rc::new(MemoryHome::new(u64::MAX))
}

/// The greedy answer to a prompt of so many tokens.
fn answer(model: &mut Model, n_prompt: usize, max_tokens: u32) -> Vec<u32> {
    let prompt = &read_ids("nano-moe16/tokens-900.txt")[..n_prompt];
    let request = Request { prompt, max_tokens, sampling: SamplingOptions::greedy(), stops: &[] };
    let generated = pollster::block_on(model.engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(())));
    pollster::block_on(model.settle());
    generated.unwrap().ids
}

/// Does what the fill has to do now.
fn fill(model: &mut Model) {
    let fill = model.fill().clone();
    pollster::block_on(async {
        while fill.warm(model, &Cancel::default()).await.unwrap() {}
        while fill.keep().await.unwrap() {}
    });
}

fn heard(model: &Model) -> Rc<RefCell<Vec<LiveEvent>>> {
    let heard = Rc::<RefCell<Vec<LiveEvent>>>::default();
    let ear = heard.clone();
    model.monitor().listen(Some(Rc::new(move |event| ear.borrow_mut().push(event))));
    heard
}

#[test]
fn events_add_up_to_the_stats_and_to_where_experts_are() {
    let remote = Remote::new();
    let mut model = visit(&gpu(), &remote, Some(&home()), Some(5));
    let heard = heard(&model);
    answer(&mut model, 40, 30);
    let (stats, map) = (model.stats(), model.monitor().map());
    let mut on_gpu = vec![vec![false; 16]; 4];
    let (mut hits, mut misses, mut replays, mut stalled, mut demanded, mut foreseen) = (0, 0, 0, 0.0, 0, 0);
    let mut bytes = None;
    for event in heard.borrow().iter() {
        match event {
            LiveEvent::Paging(PagingEvent::Fetch { why, .. }) => match why {
                Urgency::Demand => demanded += 1,
                Urgency::Prefetch => foreseen += 1,
                Urgency::Background => unreachable!("nobody fills"),
            },
            LiveEvent::Paging(PagingEvent::Arrive { layer, expert, bytes }) => {
                assert_eq!(*bytes, stats.bytes_per_expert);
                on_gpu[*layer as usize][*expert as usize] = true;
            }
            LiveEvent::Paging(PagingEvent::Leave { layer, expert }) => on_gpu[*layer as usize][*expert as usize] = false,
            LiveEvent::Paging(PagingEvent::Use { experts, missed, .. }) => {
                misses += missed.len() as u64;
                hits += (experts.len() - missed.len()) as u64;
            }
            LiveEvent::Paging(PagingEvent::Replay { .. }) => replays += 1,
            LiveEvent::Paging(PagingEvent::Stall { seconds }) => stalled += seconds,
            LiveEvent::Paging(PagingEvent::Abandon { .. }) => unreachable!("nothing fails"),
            LiveEvent::Bytes(tiers) => bytes = Some(*tiers),
            LiveEvent::Fill(_) => {}
        }
    }
    assert_eq!((hits, misses, replays), (stats.hits, stats.misses, stats.replays));
    // Steps that were ahead of a miss are void.
    assert!(stats.tokens == 30 && stats.passes >= 30 + stats.replays, "{stats:?}");
    assert!((stalled - stats.stall_seconds).abs() < 1e-9 && stalled > 0.0);
    assert_eq!((demanded + foreseen) * stats.bytes_per_expert, stats.bytes_experts);
    assert!(demanded > 0 && foreseen > 0, "{demanded} demanded, {foreseen} foreseen");
    assert_eq!(bytes, Some(model.monitor().tiers()));
    assert_eq!((stats.bytes_fetched, stats.bytes_gpu), (remote.bytes(), stats.bytes_dense + stats.bytes_experts));

    assert_eq!(map.places.iter().map(|layer| layer.iter().map(|p| *p == Place::Gpu).collect()).collect::<Vec<Vec<bool>>>(), on_gpu);
    let flat = || map.places.iter().flatten().zip(map.heat.iter().flatten());
    assert!(flat().all(|(place, heat)| *heat > 0.0 || *place == Place::Network), "what nobody used was fetched");
    assert!(flat().all(|(place, heat)| *heat == 0.0 || *place != Place::Network), "what was used is not kept");
    assert!(flat().any(|(place, _)| *place == Place::Disk));

    model.monitor().listen(None);
    let n_heard = heard.borrow().len();
    answer(&mut model, 45, 3);
    assert_eq!(heard.borrow().len(), n_heard);
}

#[test]
fn experts_that_left_the_gpu_are_in_memory_up_to_its_budget_and_come_from_nowhere_else() {
    let (gpu, remote) = (gpu(), Remote::new());
    let count = |model: &Model, place| model.monitor().map().places.iter().flatten().filter(|p| **p == place).count();
    let mut whole = visit_with(&gpu, &remote, None, None, u64::MAX);
    let expected = answer(&mut whole, 40, 8);
    let bytes_per_expert = whole.stats().bytes_per_expert;
    assert_eq!((whole.stats().bytes_held, count(&whole, Place::Ram)), (0, 0), "all of it is on the GPU");

    for (budget, is_held) in [(bytes_per_expert - 1, false), (30 * bytes_per_expert, true), (u64::MAX, true)] {
        let remote = Remote::new();
        let mut model = visit_with(&gpu, &remote, None, Some(5), budget);
        assert_eq!(model.stats().bytes_held, 0, "dense weights are held");
        assert_eq!(answer(&mut model, 40, 8), expected);
        let stats = model.stats();
        assert_eq!((stats.bytes_held > 0, stats.bytes_ram > 0), (is_held, is_held), "{stats:?}");
        assert!(stats.bytes_held <= budget && remote.bytes() + stats.bytes_ram >= stats.bytes_gpu, "{stats:?}");
        // A little lies between runs and is read along.
        assert!((remote.bytes() + stats.bytes_ram) as f64 <= stats.bytes_gpu as f64 * 1.01, "{stats:?}");
        let is_all = budget == u64::MAX;
        assert_eq!(remote.asked_twice(), !is_all);
        assert_eq!(count(&model, Place::Ram) > 0, is_held);
        assert!(!is_all || count(&model, Place::Gpu) + count(&model, Place::Ram) == (stats.bytes_held / bytes_per_expert) as usize);
    }
}

#[test]
fn heat_comes_back_at_the_next_visit_and_warms_slots_before_the_first_token_without_a_network() {
    let (gpu, remote, home) = (gpu(), Remote::new(), home());
    let mut first = visit(&gpu, &remote, Some(&home), Some(5));
    let expected = answer(&mut first, 40, 20);
    let heat = first.monitor().map().heat;
    drop(first);

    remote.is_down.set(true);
    let mut second = visit(&gpu, &remote, Some(&home), Some(5));
    assert_eq!(second.monitor().map().heat, heat);
    assert_eq!(second.fill().progress().state, FillState::Running);
    fill(&mut second);
    for (heat, places) in heat.iter().zip(second.monitor().map().places) {
        let coldest_here = heat.iter().zip(&places).filter(|(_, p)| **p == Place::Gpu).map(|(h, _)| *h).fold(f32::MAX, f32::min);
        let hottest_away = heat.iter().zip(&places).filter(|(_, p)| **p != Place::Gpu).map(|(h, _)| *h).fold(0.0, f32::max);
        assert!(coldest_here >= hottest_away, "{heat:?} {places:?}");
        assert_eq!(places.iter().filter(|p| **p == Place::Gpu).count(), 5);
    }
    assert_eq!(second.fill().progress().state, FillState::Waiting);
    assert_eq!(answer(&mut second, 40, 20), expected);
}

#[test]
fn hostile_heat_is_passed_over() {
    let (gpu, remote, home) = (gpu(), Remote::new(), home());
    let mut model = visit(&gpu, &remote, Some(&home), None);
    answer(&mut model, 10, 1);
    let shards: Vec<Rc<dyn Source>> = vec![remote.clone()];
    let library = pollster::block_on(Library::with_home(shards, home.clone() as Rc<dyn Home>)).unwrap();
    let good = pollster::block_on(library.note("heat")).unwrap().unwrap();
    let not_numbers = [&good[..16], &[0xFF; 16 * 4 * 4]].concat();
    for bytes in [&b""[..], b"QHEA", &good[..good.len() - 1], &[0xA5; 4096], &not_numbers] {
        pollster::block_on(library.set_note("heat", bytes)).unwrap();
        let model = visit(&gpu, &remote, Some(&home), None);
        assert!(model.monitor().map().heat.iter().flatten().all(|heat| *heat == 0.0), "{} bytes", bytes.len());
    }
}

#[test]
fn which_shapes_suited_the_adapter_is_known_at_the_next_visit() {
    let (remote, home) = (Remote::new(), home());
    let (first, second) = (gpu(), gpu());
    let shapes = vec![Shape { kernel: "f32_q8_0_rms_matvec".into(), rows: 2880, is_wide: true }];
    first.restore_shapes(shapes.clone());
    drop(visit(&first, &remote, Some(&home), None));
    drop(visit(&second, &remote, Some(&home), None));
    assert_eq!(second.shapes(), shapes);
}

#[test]
fn the_fill_waits_for_the_first_token_then_keeps_all_of_the_model_and_no_byte_comes_twice() {
    let (gpu, remote, home) = (gpu(), Remote::new(), home());
    let mut model = visit(&gpu, &remote, Some(&home), Some(5));
    let before = remote.bytes();
    fill(&mut model);
    assert_eq!((remote.bytes(), model.fill().progress().state), (before, FillState::Waiting));
    answer(&mut model, 5, 1);
    let stats = model.stats();
    let needed = stats.bytes_dense + stats.experts_touched * stats.bytes_per_expert;
    assert!(stats.experts_touched < 64 && stats.bytes_fetched as f64 <= needed as f64 * 1.02, "{stats:?}");

    let heard = heard(&model);
    assert_eq!(model.fill().progress().state, FillState::Running);
    fill(&mut model);
    let done = model.fill().progress();
    assert_eq!((done.state, done.loaded, done.total), (FillState::Done, remote.size, remote.size));
    assert_eq!(heard.borrow().last(), Some(&LiveEvent::Fill(done)));
    assert!(!remote.asked_twice());
    assert_eq!(remote.bytes(), remote.size);
    let places = model.monitor().map().places;
    assert!(places.iter().all(|layer| layer.iter().filter(|p| **p == Place::Gpu).count() == 5));
    assert!(places.iter().flatten().all(|p| *p != Place::Network));
    answer(&mut model, 60, 20);
    assert_eq!(remote.bytes(), remote.size);
}

#[test]
fn what_is_filled_is_checked_by_its_sum_which_is_told_and_a_wrong_file_comes_anew() {
    let (gpu, remote, home) = (gpu(), Remote::new(), home());
    let bytes = std::fs::read(vector("nano-moe16/nano-moe16.gguf")).unwrap();
    let sum = Sum(Sha256::digest(bytes).into());
    for (said, is_good) in [(Sum([7; 32]), false), (sum, true)] {
        remote.sum.set(Some(said));
        let mut model = visit(&gpu, &remote, Some(&home), Some(5));
        answer(&mut model, 5, 1);
        let check = |model: &Model| pollster::block_on(model.fill().check());
        assert!(!check(&model).unwrap());
        fill(&mut model);
        let heard = heard(&model);
        let checked = (0..).map(|_| check(&model)).find(|checked| !matches!(checked, Ok(true))).unwrap();
        let progress = model.fill().progress();
        assert_eq!(heard.borrow().last(), Some(&LiveEvent::Fill(progress)));
        assert_eq!((checked.is_ok(), progress.verified), (is_good, is_good));
        if let Err(error) = checked {
            assert_eq!((error.code(), progress.state, progress.loaded), ("integrity", FillState::Running, 0));
        }
    }
}

#[test]
fn a_paused_fill_fetches_nothing_and_goes_on_where_it_was() {
    let (remote, home) = (Remote::new(), home());
    let mut model = visit(&gpu(), &remote, Some(&home), None);
    answer(&mut model, 5, 1);
    let fill = model.fill().clone();
    fill.pause();
    let before = remote.bytes();
    assert!(!pollster::block_on(fill.keep()).unwrap());
    assert!(!pollster::block_on(fill.warm(&mut model, &Cancel::default())).unwrap());
    assert_eq!((remote.bytes(), fill.progress().state), (before, FillState::Paused));
    fill.resume();

    // Pausing in the middle ends it; what came stays.
    *remote.fill.borrow_mut() = Some(fill.clone());
    let before = remote.bytes();
    assert!(!pollster::block_on(fill.keep()).unwrap());
    assert_eq!(fill.progress().state, FillState::Paused);
    assert!((before + 1..remote.size).contains(&remote.bytes()));
    *remote.fill.borrow_mut() = None;
    fill.resume();
    while pollster::block_on(fill.keep()).unwrap() {}
    assert!(!remote.asked_twice());
    assert_eq!((fill.progress().loaded, remote.bytes()), (remote.size, remote.size));

    let ear = fill.clone();
    model.monitor().listen(Some(Rc::new(move |event| {
        if matches!(event, LiveEvent::Paging(PagingEvent::Fetch { .. })) {
            ear.pause();
        }
    })));
    assert!(!pollster::block_on(fill.warm(&mut model, &Cancel::default())).unwrap());
    assert_eq!(fill.progress().state, FillState::Paused);
}

/// A model whose fill has stopped, since nothing more can be kept.
fn out_of_room(remote: &Rc<Remote>, home: &Rc<MemoryHome>) -> (Model, Fill) {
    let mut model = visit(&gpu(), remote, Some(home), Some(5));
    answer(&mut model, 5, 1);
    let fill = model.fill().clone();
    home.set_budget(home.held_bytes());
    assert!(!pollster::block_on(fill.keep()).unwrap());
    (model, fill)
}

#[test]
fn a_fill_that_cannot_keep_or_fetch_stops_and_goes_on_when_told() {
    let (remote, home) = (Remote::new(), home());
    let (_model, fill) = out_of_room(&remote, &home);
    let before = remote.bytes();
    assert!(!pollster::block_on(fill.keep()).unwrap());
    assert_eq!((fill.progress().state, remote.bytes()), (FillState::Stopped, before));

    home.set_budget(u64::MAX);
    remote.is_down.set(true);
    fill.resume();
    pollster::block_on(fill.keep()).unwrap_err();
    assert_eq!(fill.progress().state, FillState::Stopped);
    remote.is_down.set(false);
    // After a write that failed nothing is written for a while.
    std::thread::sleep(std::time::Duration::from_secs(2));
    fill.resume();
    while pollster::block_on(fill.keep()).unwrap() {}
    assert_eq!(fill.progress().loaded, remote.size);
}

#[test]
fn a_fill_that_lacked_room_goes_on_after_an_answer_once_there_is_some() {
    let (remote, home) = (Remote::new(), home());
    let (mut model, fill) = out_of_room(&remote, &home);
    // After a write that failed nothing is written for a while.
    std::thread::sleep(std::time::Duration::from_secs(2));
    // Too little room is not tried again and again.
    home.set_budget(home.held_bytes() + 1000);
    answer(&mut model, 5, 1);
    assert_eq!(fill.progress().state, FillState::Stopped);
    home.set_budget(u64::MAX);
    answer(&mut model, 5, 1);
    assert_eq!(fill.progress().state, FillState::Running);
    while pollster::block_on(fill.keep()).unwrap() {}
    assert_eq!(fill.progress().loaded, remote.size);
}

#[test]
fn a_fill_leaves_some_room_to_others() {
    let (remote, home) = (Remote::new(), home());
    let mut model = visit(&gpu(), &remote, Some(&home), Some(5));
    answer(&mut model, 5, 1);
    let (fill, before) = (model.fill().clone(), remote.bytes());
    home.set_budget(home.held_bytes() + (64 << 20));
    assert!(!pollster::block_on(fill.keep()).unwrap());
    assert_eq!((fill.progress().state, remote.bytes()), (FillState::Stopped, before));
    home.set_budget(home.held_bytes() + (96 << 20));
    fill.resume();
    assert!(pollster::block_on(fill.keep()).unwrap());
}

#[test]
fn without_a_cache_the_fill_ends_when_the_slots_are_full() {
    let remote = Remote::new();
    let mut model = visit(&gpu(), &remote, None, Some(8));
    fill(&mut model);
    let waiting = model.fill().progress();
    assert_eq!((waiting.state, waiting.loaded), (FillState::Waiting, model.stats().bytes_dense));
    answer(&mut model, 5, 1);
    fill(&mut model);
    let stats = model.stats();
    let done = model.fill().progress();
    assert_eq!((done.state, done.loaded), (FillState::Done, done.total));
    assert_eq!(done.total, stats.bytes_dense + 4 * 8 * stats.bytes_per_expert);
    assert!(!remote.asked_twice());
}

#[test]
fn whoever_wants_the_model_cancels_what_is_brought_for_later() {
    let (gpu, remote, home) = (gpu(), Remote::new(), home());
    let expected = answer(&mut visit(&gpu, &Remote::new(), None, None), 40, 20);
    let mut model = visit(&gpu, &remote, Some(&home), None);
    answer(&mut model, 5, 1);
    let (fill, before) = (model.fill().clone(), remote.bytes());
    // What is brought for the GPU alone would come twice if that is cancelled; so it is kept first.
    assert!(!pollster::block_on(fill.warm(&mut model, &Cancel::default())).unwrap());
    assert_eq!(remote.bytes(), before);
    assert!(pollster::block_on(fill.keep()).unwrap());
    let cancel = Cancel::default();
    let ear = cancel.clone();
    model.monitor().listen(Some(Rc::new(move |event| {
        if matches!(event, LiveEvent::Paging(PagingEvent::Fetch { .. })) {
            ear.cancel();
        }
    })));
    assert!(!pollster::block_on(fill.warm(&mut model, &cancel)).unwrap());
    assert!(cancel.is_cancelled());
    model.monitor().listen(None);
    let prompt = &read_ids("nano-moe16/tokens-900.txt")[..40];
    let request = Request { prompt, max_tokens: 20, sampling: SamplingOptions::greedy(), stops: &[] };
    let generated = pollster::block_on(model.engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!((generated.finish, generated.ids), (Finish::Length, expected));
    assert!(!remote.asked_twice());
}
