//! The cache before a source, over a home in memory.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use futures_util::future::{join, join_all, select};
use pollster::block_on;
use store::{
    Error, Home, Identity, Library, LocalFuture, Memory, MemoryHome, Priority, Run, Sink, Source, Sum, Traffic, export, import, verify,
};

fn bytes(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A remote file that counts what is asked of it, and fails where it is told to. Each piece comes in a poll of its own.
struct Remote {
    memory: Memory,
    asked: RefCell<Vec<Range<u64>>>,
    fails_after: Cell<Option<u64>>,
    tag: RefCell<String>,
    /// What is said once instead.
    odd_tag: Cell<Option<String>>,
}

impl Remote {
    fn new(n: usize) -> Rc<Self> {
        Self::of(bytes(n))
    }

    fn of(bytes: Vec<u8>) -> Rc<Self> {
        let memory = Memory::new("https://example.com/m.gguf", bytes);
        Rc::new(Self {
            memory,
            asked: RefCell::default(),
            fails_after: Cell::new(None),
            tag: RefCell::new("1".to_owned()),
            odd_tag: Cell::default(),
        })
    }

    fn asked_bytes(&self) -> u64 {
        self.asked.borrow().iter().map(|range| range.end - range.start).sum()
    }
}

impl Source for Remote {
    fn location(&self) -> &str {
        self.memory.location()
    }
    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        self.memory.size()
    }
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.asked.borrow_mut().push(range.clone());
            let mut at = range.start;
            while at < range.end {
                pending_once().await;
                if self.fails_after.get().is_some_and(|n| at >= range.start + n) {
                    return Err(Error::Read { location: "broken".to_owned(), start: at, end: range.end, cause: "test".to_owned() });
                }
                let end = range.end.min(at + 100_000);
                self.memory.read(at..end, sink).await?;
                at = end;
            }
            Ok(())
        })
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn tag(&self) -> Option<String> {
        self.odd_tag.take().or_else(|| Some(self.tag.borrow().clone()))
    }
    fn traffic(&self) -> Traffic {
        Traffic { bytes: self.asked_bytes(), ..Traffic::default() }
    }
}

async fn pending_once() {
    let mut is_second = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn library(source: &Rc<Remote>, home: &Rc<MemoryHome>) -> Library {
    block_on(Library::with_home(vec![source.clone()], home.clone())).unwrap()
}

fn setup(n: usize) -> (Rc<Remote>, Rc<MemoryHome>, Library) {
    let (source, home) = (Remote::new(n), Rc::new(MemoryHome::new(u64::MAX)));
    let library = library(&source, &home);
    (source, home, library)
}

async fn read(library: &Library, ranges: &[Range<u64>], priority: Priority) -> Result<Vec<Vec<u8>>, Error> {
    let runs: Vec<_> = ranges.iter().map(|range| Run { shard: 0, range: range.clone() }).collect();
    let mut got = vec![Vec::new(); runs.len()];
    let mut sink = |i: usize, piece: &[u8]| {
        got[i].extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    library.read_runs(&runs, priority, &mut sink).await?;
    Ok(got)
}

/// Reads ranges at once and holds them against the file.
fn check(library: &Library, all: &[u8], ranges: &[Range<u64>]) {
    let got = block_on(read(library, ranges, Priority::Demand)).unwrap();
    for (range, got) in ranges.iter().zip(got) {
        assert!(got == all[range.start as usize..range.end as usize], "{range:?}");
    }
    block_on(library.flush());
}

#[test]
fn any_ranges_read_the_same_and_no_byte_is_asked_for_twice() {
    let n = 3_000_000;
    let (source, home, library) = setup(n);
    let all = bytes(n);
    let mut seen = vec![false; n];
    for i in 0..60_u64 {
        let ranges: Vec<_> = (0..3)
            .map(|j| {
                let start = (i * 3 + j) * 7_919_777 % n as u64;
                start..(start + (i + j) * 104_729 % 300_000).min(n as u64)
            })
            .collect();
        check(&library, &all, &ranges);
        for range in &ranges {
            seen[range.start as usize..range.end as usize].fill(true);
        }
    }
    let needed = seen.iter().filter(|&&seen| seen).count() as f64;
    let asked = source.asked.borrow();
    let mut times = vec![0_u8; n];
    asked.iter().for_each(|range| times[range.start as usize..range.end as usize].iter_mut().for_each(|n| *n += 1));
    assert!(times.iter().all(|&times| times <= 1));
    let fetched = times.iter().filter(|&&times| times == 1).count();
    assert!(fetched as f64 <= needed * 1.02, "{fetched} bytes for {needed}");
    assert_eq!(home.held_bytes(), fetched as u64);
}

#[test]
fn a_second_visit_asks_nothing() {
    let (source, home, first) = setup(2_000_000);
    check(&first, &bytes(2_000_000), &[0..700_000, 1_000_000..1_500_000]);
    drop(first);
    let asked = source.asked.borrow().len();
    let second = library(&source, &home);
    // Also when what lies between them was never fetched.
    check(&second, &bytes(2_000_000), &[699_990..700_000, 1_000_000..1_000_007, 5..9]);
    assert_eq!(source.asked.borrow().len(), asked);
    assert_eq!(second.bytes_here(&Run { shard: 0, range: 600_000..1_100_000 }), 200_000);
}

#[test]
fn two_readers_of_the_same_bytes_fetch_them_once() {
    let (source, _, library) = setup(2_000_000);
    let same = [100_000..1_900_000];
    let reads = (0..4).map(|i| read(&library, &same, if i == 3 { Priority::Demand } else { Priority::Background }));
    for got in block_on(join_all(reads)) {
        assert!(got.unwrap()[0] == bytes(2_000_000)[100_000..1_900_000]);
    }
    assert_eq!(source.asked_bytes(), 1_800_000);
}

#[test]
fn who_waits_for_a_flight_in_the_background_hurries_it() {
    let (source, _, library) = setup(4_000_000);
    let background = async { read(&library, &[0..2_000_000], Priority::Background).await };
    let others = async {
        pending_once().await;
        // One for the same bytes, one for others, which would pause the background.
        join(read(&library, &[1_000_000..1_000_100], Priority::Demand), read(&library, &[3_000_000..3_900_000], Priority::Demand)).await
    };
    let (background, (same, other)) = block_on(join(background, others));
    assert!(background.is_ok() && same.is_ok() && other.is_ok());
    assert_eq!(source.asked_bytes(), 2_900_000);
}

#[test]
fn what_came_before_a_failure_is_kept() {
    let (source, _, library) = setup(2_000_000);
    source.fails_after.set(Some(400_000));
    assert!(block_on(read(&library, &[0..1_000_000], Priority::Demand)).is_err());
    block_on(library.flush());
    source.fails_after.set(None);
    check(&library, &bytes(2_000_000), &[0..1_000_000]);
    assert_eq!(*source.asked.borrow(), [0..1_000_000, 400_000..1_000_000]);
}

#[test]
fn what_came_before_a_reader_went_away_is_kept() {
    let (source, _, library) = setup(2_000_000);
    let whole = Box::pin(read(&library, &[0..1_000_000], Priority::Demand));
    let some_polls = Box::pin(async {
        for _ in 0..4 {
            pending_once().await;
        }
    });
    block_on(select(whole, some_polls));
    block_on(library.flush());
    let here = library.bytes_here(&Run { shard: 0, range: 0..1_000_000 });
    assert!(here >= 100_000, "{here}");
    check(&library, &bytes(2_000_000), &[0..1_000_000]);
    assert_eq!(source.asked.borrow()[1], here..1_000_000);
}

#[test]
fn who_asks_for_more_room_than_there_is_hears_of_both() {
    let home = Rc::new(MemoryHome::new(5_000_000));
    let library = library(&Remote::new(10_000), &home);
    assert!(pollster::block_on(library.has_room(5_000_000)) && library.take_problem().is_none());
    assert!(!pollster::block_on(library.has_room(5_000_001)));
    let said = library.take_problem().unwrap().to_string();
    assert!(said.contains("is full: 5000001 bytes are needed, 5000000 are free"), "{said}");
}

#[test]
fn a_full_home_does_not_stop_a_reader_and_says_so() {
    let (source, home) = (Remote::new(9_000_000), Rc::new(MemoryHome::new(5_000_000)));
    let library = library(&source, &home);
    let all = bytes(9_000_000);
    check(&library, &all, &[0..9_000_000]);
    let problem = library.take_problem().unwrap();
    assert!(matches!(*problem, Error::Full { free: Some(_), .. }), "{problem}");
    assert!(home.held_bytes() <= 5_000_000 && home.held_bytes() >= 4_000_000);
    check(&library, &all, &[0..9_000_000]);
    // Works again after room is made, and a pause.
    home.set_budget(u64::MAX);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    check(&library, &all, &[0..9_000_000]);
    assert_eq!(home.held_bytes(), 9_000_000);
}

#[test]
fn another_version_retires_what_is_kept() {
    let (source, home, library) = setup(1_000_000);
    check(&library, &bytes(1_000_000), &[0..1_000_000]);
    block_on(library.revalidate()).unwrap();
    // A page of somebody else in between is no other version.
    source.odd_tag.set(Some("sorry".to_owned()));
    block_on(library.revalidate()).unwrap();
    assert_eq!(library.bytes_here(&Run { shard: 0, range: 0..1_000_000 }), 1_000_000);
    *source.tag.borrow_mut() = "2".to_owned();
    let got = block_on(library.revalidate());
    assert!(matches!(got, Err(Error::Changed { .. })), "{got:?}");
    assert_eq!(block_on(home.list()).unwrap(), []);
    let again = self::library(&source, &home);
    assert_eq!(again.bytes_here(&Run { shard: 0, range: 0..1_000_000 }), 0);
}

#[test]
fn a_note_stays_with_the_model() {
    let (source, home, first) = setup(10);
    block_on(first.set_note("heat", b"1 2 3")).unwrap();
    let second = library(&source, &home);
    assert_eq!(block_on(second.note("heat")).unwrap().as_deref(), Some(&b"1 2 3"[..]));
    assert_eq!(block_on(second.note("other")).unwrap(), None);
}

#[test]
fn a_file_is_verified_taken_out_and_brought_in() {
    use sha2::Digest;
    let n = 1_000_000;
    let (_, home, library) = setup(n);
    let identity = block_on(home.list()).unwrap()[0].identity.clone();
    let go_on = &mut |_| ControlFlow::Continue(());
    check(&library, &bytes(n), &[0..500_000]);
    let found = block_on(verify(&*home, &identity, go_on)).unwrap();
    assert_eq!((found.bytes, found.bad_chunks, found.sha256), (500_000, 0, None));
    let got = block_on(export(&*home, &identity, &mut |_| ControlFlow::Continue(())));
    assert!(matches!(got, Err(Error::Incomplete { kept: 500_000, size: 1_000_000, .. })), "{got:?}");

    check(&library, &bytes(n), &[0..n as u64]);
    let found = block_on(verify(&*home, &identity, go_on)).unwrap();
    assert_eq!((found.sha256, found.is_announced), (Some(Sum(sha2::Sha256::digest(bytes(n)).into())), false));
    let mut out = Vec::new();
    let mut take = |piece: &[u8]| {
        out.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    block_on(export(&*home, &identity, &mut take)).unwrap();
    assert!(out == bytes(n));

    let (source, other) = (Remote::new(n), Rc::new(MemoryHome::new(u64::MAX)));
    block_on(import(&*other, &identity, &Memory::new("file", out), go_on)).unwrap();
    let library = self::library(&source, &other);
    check(&library, &bytes(n), &[0..n as u64]);
    assert!(source.asked.borrow().is_empty());
    let wrong = Identity { size: 5, ..identity };
    let got = block_on(import(&*other, &wrong, &Memory::new("file", bytes(4)), go_on));
    assert!(matches!(got, Err(Error::Changed { what: "the size", .. })), "{got:?}");
}
