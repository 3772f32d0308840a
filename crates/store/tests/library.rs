//! Many runs at once.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests")]

mod server;

use std::ops::{ControlFlow, Range};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{join, select};
use pollster::block_on;
use server::{Server, Turn};
use store::{Error, Http, Library, Memory, Priority, Retry, Run, Source};

fn file(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn run(shard: usize, range: Range<u64>) -> Run {
    Run { shard, range }
}

fn remote(server: &Server) -> Rc<dyn Source> {
    Rc::new(Http::with_retry(&server.url, Retry { pause: Duration::from_millis(2), ..Retry::default() }))
}

/// The bytes of each run, and the longest piece.
async fn read(library: &Library, runs: &[Run], priority: Priority) -> Result<(Vec<Vec<u8>>, usize), Error> {
    let (mut got, mut longest) = (vec![Vec::new(); runs.len()], 0);
    let mut sink = |i: usize, piece: &[u8]| {
        got[i].extend_from_slice(piece);
        longest = longest.max(piece.len());
        ControlFlow::Continue(())
    };
    library.read_runs(runs, priority, &mut sink).await?;
    Ok((got, longest))
}

#[test]
fn each_run_gets_its_bytes_in_order_from_any_shard() {
    let (a, b) = (file(3_000_000), file(500_000));
    let server = Server::start(a.clone(), vec![]);
    let library = Library::new(vec![remote(&server), Rc::new(Memory::new("b", b.clone()))]);
    let runs = [run(0, 5..2_000_000), run(1, 0..400_000), run(0, 1_999_000..2_500_000), run(0, 7..7), run(0, 5..2_000_000), run(1, 3..4)];
    let (got, longest) = block_on(read(&library, &runs, Priority::Demand)).unwrap();
    for (run, got) in runs.iter().zip(&got) {
        let of = if run.shard == 0 { &a } else { &b };
        assert!(*got == of[run.range.start as usize..run.range.end as usize], "{run:?}");
    }
    assert!(longest <= 256 * 1024, "{longest}");
}

#[test]
fn requests_overlap() {
    let slow = Turn { delay: Duration::from_millis(200), ..Turn::default() };
    let server =
        Server::start(file(4_000_000), vec![Turn::default(), slow.clone(), slow.clone(), slow.clone(), slow.clone(), slow.clone(), slow]);
    let library = Library::new(vec![remote(&server)]);
    block_on(library.shards()[0].size()).unwrap();
    let runs: Vec<_> = (0..6).map(|i| run(0, i * 600_000..i * 600_000 + 10_000)).collect();
    let began = Instant::now();
    let (got, _) = block_on(read(&library, &runs, Priority::Demand)).unwrap();
    let took = began.elapsed();
    assert!(got.iter().all(|bytes| bytes.len() == 10_000));
    assert!(took < Duration::from_millis(800), "six waits of 200 ms took {took:?}");
    assert_eq!(server.seen().len(), 7);
}

#[test]
fn runs_that_touch_are_one_request() {
    let server = Server::start(file(1_000_000), vec![]);
    let library = Library::new(vec![remote(&server)]);
    let runs: Vec<_> = (0..10).map(|i| run(0, i * 1000..(i + 1) * 1000)).collect();
    block_on(read(&library, &runs, Priority::Demand)).unwrap();
    // One for the size.
    assert_eq!(server.seen().len(), 2);
    assert_eq!(library.traffic().bytes, 10_000);
}

#[test]
fn demand_pauses_background_which_then_goes_on_at_the_byte() {
    let server = Server::start(file(40_000_000), vec![]);
    let library = Library::new(vec![remote(&server)]);
    block_on(library.shards()[0].size()).unwrap();
    let order = std::cell::RefCell::new(Vec::new());
    let background = [run(0, 0..30_000_000)];
    let demand: Vec<_> = (0..8).map(|i| run(0, 31_000_000 + i * 1_000_000..31_000_000 + i * 1_000_000 + 500_000)).collect();
    let mut note_background = |_: usize, piece: &[u8]| {
        order.borrow_mut().push(('b', piece.len()));
        ControlFlow::Continue(())
    };
    let mut note_demand = |_: usize, piece: &[u8]| {
        order.borrow_mut().push(('d', piece.len()));
        ControlFlow::Continue(())
    };
    let (a, b) = block_on(join(
        library.read_runs(&background, Priority::Background, &mut note_background),
        library.read_runs(&demand, Priority::Demand, &mut note_demand),
    ));
    a.unwrap();
    b.unwrap();
    let order = order.into_inner();
    let sum = |who| order.iter().filter(|(by, _)| *by == who).map(|(_, n)| n).sum::<usize>();
    assert_eq!((sum('b'), sum('d')), (30_000_000, 4_000_000));
    let last_demand = order.iter().rposition(|(by, n)| *by == 'd' && *n > 0).unwrap();
    let before: usize = order[..last_demand].iter().filter(|(by, _)| *by == 'b').map(|(_, n)| n).sum();
    assert!(before < 1_000_000, "{before} bytes came in the background while demand waited");
    assert_eq!(library.traffic().bytes, 34_000_000);
}

#[test]
fn a_reader_that_has_enough_is_heard_while_nothing_comes() {
    let stall = Turn { delay: Duration::from_secs(8), ..Turn::default() };
    let server = Server::start(file(1000), vec![Turn::default(), stall]);
    let library = Library::new(vec![remote(&server)]);
    block_on(library.shards()[0].size()).unwrap();
    let began = Instant::now();
    let mut enough =
        |_: usize, _: &[u8]| if began.elapsed() > Duration::from_millis(100) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let got = block_on(library.read_runs(&[run(0, 0..10)], Priority::Demand, &mut enough));
    assert!(matches!(got, Err(Error::Cancelled { .. })), "{got:?}");
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_dropped_read_leaves_its_place_to_others() {
    let server = Server::start(file(20_000_000), vec![]);
    let library = Library::new(vec![remote(&server)]);
    block_on(library.shards()[0].size()).unwrap();
    let runs: Vec<_> = (0..20).map(|i| run(0, i * 1_000_000..i * 1_000_000 + 500_000)).collect();
    let dropped = Box::pin(read(&library, &runs, Priority::Demand));
    block_on(select(dropped, std::future::ready(())));
    let (got, _) = block_on(read(&library, &runs[..2], Priority::Background)).unwrap();
    assert_eq!(got[1].len(), 500_000);
}

#[test]
fn a_run_outside_its_shard_is_refused() {
    let library = Library::new(vec![Rc::new(Memory::new("m", file(10)))]);
    let got = block_on(read(&library, &[run(0, 5..11)], Priority::Demand));
    assert!(matches!(got, Err(Error::OutOfRange { size: 10, .. })), "{got:?}");
}
