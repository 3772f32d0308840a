//! Models over a network that fails, and over one that is gone.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use api::Files;
use engine::{Cancel, Engine, Feed, Gpu, Reading, Request, Run, SamplingOptions, Sink, Urgency};
use kernels::ops::KvType;
use model::{Model, Options};
use pollster::block_on;
use store::{Home, MemoryHome, OpenOptions, Retry};
use tests::cdn::{self, Cdn, Spec};
use tests::{gpu, open, read_ids, vector};

const NAME: &str = "m.gguf";

/// nano-moe16 behind so much metadata that none of its weights come with the header.
fn model() -> Vec<u8> {
    let path = vector("nano-moe16/nano-moe16.gguf");
    let (directory, bytes) = (open(&path).directory, std::fs::read(&path).unwrap());
    let mut metadata = directory.metadata;
    metadata.set("general.description", "-".repeat(1 << 20));
    let mut writer = gguf::Writer::new(metadata).unwrap();
    directory.tensors.iter().for_each(|t| writer.add(&t.name, &t.shape, t.dtype).unwrap());
    let mut data = writer.start(Vec::new()).unwrap();
    directory.tensors.iter().for_each(|t| data.tensor(&t.name, &bytes[t.start as usize..(t.start + t.bytes) as usize]).unwrap());
    data.finish().unwrap()
}

/// With the fewest slots, so that experts come one by one.
fn lazy_engine(gpu: Gpu, files: &Files, feed: Rc<dyn Feed>) -> Engine {
    let options = Options { context: 256, kv: KvType::F32, slots: Some(5), ..Options::default() };
    let model = Model::new(&files.directory, options).unwrap();
    block_on(async {
        let mut engine = Engine::new(gpu, model, feed, Vec::new()).await.unwrap();
        assert!(engine.load(&Cancel::default(), &mut |_| {}).await.unwrap());
        engine
    })
}

fn paged(gpu: &Gpu, files: &Files) -> Engine {
    lazy_engine(gpu.clone(), files, files.feed())
}

fn ids(engine: &mut Engine) -> Vec<u32> {
    generate(engine, &read_ids("nano-moe16/tokens-900.txt")[..7])
}

fn generate(engine: &mut Engine, prompt: &[u32]) -> Vec<u32> {
    let request = Request { prompt, max_tokens: 4, sampling: SamplingOptions::greedy(), stops: &[] };
    block_on(engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap().ids
}

fn serve(spec: Spec) -> Cdn {
    Cdn::start(cdn::Files::one(NAME, model()), Spec { stall: Duration::from_secs(1), ..spec }, 0).unwrap()
}

fn options(home: Option<Rc<dyn Home>>) -> OpenOptions {
    let retry =
        Retry { attempts: 6, pause: Duration::from_millis(1), longest_pause: Duration::from_millis(20), stall: Duration::from_millis(100) };
    OpenOptions { home, retry, ..OpenOptions::default() }
}

fn open_remote(url: &str, home: Option<Rc<dyn Home>>) -> Files {
    block_on(Files::open_with(url, &options(home))).unwrap()
}

/// Reads from one model's files after another's.
#[derive(Debug)]
struct Current(RefCell<Rc<dyn Feed>>);

impl Feed for Current {
    fn read<'a>(&'a self, runs: &'a [Run], urgency: Urgency, sink: &'a mut Sink<'_>) -> Reading<'a> {
        let feed = self.0.borrow().clone();
        Box::pin(async move { feed.read(runs, urgency, sink).await })
    }
}

#[test]
fn a_tenth_of_requests_failing_in_every_way_changes_no_token() {
    let gpu = gpu();
    let expected = ids(&mut paged(&gpu, &open(&vector("nano-moe16/nano-moe16.gguf"))));
    // One engine for all, since making one takes longer than all the rest. It holds so few experts, and nothing is cached, that
    // each answer is read anew.
    let (mut engine, feed) = {
        let cdn = serve(Spec::chaos(100));
        let files = open_remote(&cdn.url(NAME), None);
        let feed = Rc::new(Current(RefCell::new(files.feed())));
        (lazy_engine(gpu, &files, feed.clone()), feed)
    };
    let mut visit = |spec: Spec| {
        let cdn = serve(spec);
        let files = open_remote(&cdn.url(NAME), None);
        *feed.0.borrow_mut() = files.feed();
        // Something else first, so that nothing of the last answer is left.
        generate(&mut engine, &[7, 7, 200]);
        assert_eq!(ids(&mut engine), expected);
        (files.library.traffic().bytes, cdn.counts())
    };
    visit(Spec::default());
    let needed = 20 * visit(Spec::default()).0;
    let (mut fetched, mut sent, mut faults, mut requests) = (0, 0, 0, 0);
    for seed in 0..20 {
        let (bytes, counts) = visit(Spec { redirect: (seed % 2 == 1).then_some(40), ..Spec::chaos(seed) });
        (fetched, sent, requests) = (fetched + bytes, sent + counts.bytes, requests + counts.requests);
        faults += counts.faults.values().sum::<u64>();
    }
    let times = |bytes: u64| bytes as f64 / needed as f64;
    println!(
        "20 seeds, {faults} faults in {requests} requests: of {needed} bytes x {:.4} arrived, x {:.4} were sent",
        times(fetched),
        times(sent)
    );
    assert!(faults >= 200, "{faults}");
    assert!(times(fetched) < 1.05, "{fetched} of {needed}");
}

#[test]
fn the_second_visit_fetches_no_byte_and_needs_no_network() {
    let gpu = gpu();
    let home: Rc<dyn Home> = Rc::new(MemoryHome::new(u64::MAX));
    let cdn = serve(Spec::default());
    let url = cdn.url(NAME);
    let visit = || {
        let files = open_remote(&url, Some(home.clone()));
        let ids = ids(&mut paged(&gpu, &files));
        block_on(files.library.flush());
        (ids, files.library.traffic())
    };
    let (first, traffic) = visit();
    assert!(traffic.bytes > 0);
    drop(cdn);
    assert_eq!(visit(), (first, store::Traffic::default()));
}
