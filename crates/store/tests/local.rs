//! Files, memory and the cache before them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use pollster::block_on;
use store::{Cache, Cached, Error, LocalFuture, Memory, MemoryCache, Sink, Source, open, read_vec};

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 % 251) as u8).collect()
}

/// A file that is removed when it goes out of scope.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn with(bytes: &[u8], name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quire-store-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_is_read_by_range() {
    let file = Temporary::with(&bytes(700_000), "range");
    let source = open(file.0.to_str().unwrap()).unwrap();
    assert_eq!(block_on(source.size()).unwrap(), 700_000);
    assert!(block_on(read_vec(&*source, 5..699_999)).unwrap() == bytes(700_000)[5..699_999]);
    assert!(block_on(read_vec(&*source, 700_000..700_000)).unwrap().is_empty());
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    for path in ["/no/such/file.gguf", "/"] {
        let error = open(path).err().unwrap();
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_range_outside_is_refused_before_anything_is_read() {
    let file = Temporary::with(&bytes(10), "outside");
    let sources: [Rc<dyn Source>; 2] = [open(file.0.to_str().unwrap()).unwrap(), Rc::new(Memory::new("m", bytes(10)))];
    for source in sources {
        for range in [5..11, 11..12, Range { start: 3, end: 2 }, 0..u64::MAX] {
            let got = block_on(read_vec(&*source, range));
            assert!(matches!(got, Err(Error::OutOfRange { size: 10, .. })), "{got:?}");
        }
    }
}

#[test]
fn a_file_that_shrinks_is_an_error() {
    let file = Temporary::with(&bytes(1000), "shrinks");
    let source = open(file.0.to_str().unwrap()).unwrap();
    std::fs::write(&file.0, bytes(500)).unwrap();
    let got = block_on(read_vec(&*source, 0..1000));
    assert!(matches!(got, Err(Error::Read { .. })), "{got:?}");
}

/// Counts what is asked of memory, and fails where it is told to.
struct Counting {
    memory: Memory,
    asked: RefCell<Vec<Range<u64>>>,
    fails_after: Cell<Option<usize>>,
}

impl Source for Counting {
    fn location(&self) -> &str {
        self.memory.location()
    }
    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        self.memory.size()
    }
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        self.asked.borrow_mut().push(range.clone());
        Box::pin(async move {
            let Some(n) = self.fails_after.get() else {
                return self.memory.read(range, sink).await;
            };
            let part = range.start..range.start + n as u64;
            self.memory.read(part, sink).await?;
            Err(Error::Cancelled { location: "broken".to_owned() })
        })
    }
}

fn counting(n: usize) -> Rc<Counting> {
    Rc::new(Counting { memory: Memory::new("m", bytes(n)), asked: RefCell::default(), fails_after: Cell::new(None) })
}

fn cached(source: &Rc<Counting>, budget: usize) -> (Cached, Rc<MemoryCache>) {
    let cache = Rc::new(MemoryCache::new(budget));
    (Cached::with_chunk_bytes(source.clone(), cache.clone(), 100), cache)
}

#[test]
fn every_range_reads_the_same_through_a_cache() {
    let source = counting(1050);
    let (cached, cache) = cached(&source, 350);
    let all = bytes(1050);
    for i in 0..400_u64 {
        let start = i * 7919 % 1051;
        let end = start + i * 104_729 % (1051 - start);
        let got = block_on(read_vec(&cached, start..end)).unwrap();
        assert_eq!(got, all[start as usize..end as usize], "{start}..{end}");
        assert!(cache.held_bytes() <= 350);
    }
}

#[test]
fn a_chunk_is_asked_for_once() {
    let source = counting(1050);
    let (cached, cache) = cached(&source, 10_000);
    block_on(read_vec(&cached, 150..320)).unwrap();
    block_on(read_vec(&cached, 100..399)).unwrap();
    block_on(read_vec(&cached, 1040..1050)).unwrap();
    assert_eq!(*source.asked.borrow(), [100..200, 200..300, 300..400, 1000..1050]);
    assert_eq!(cache.held_bytes(), 350);
}

#[test]
fn the_least_recently_used_chunk_goes_first() {
    let source = counting(1000);
    let (cached, _) = cached(&source, 200);
    for start in [0, 100, 0, 200, 0, 100] {
        block_on(read_vec(&cached, start..start + 1)).unwrap();
    }
    // 0 stayed, for it was used again before 200 came; 100 had gone.
    assert_eq!(*source.asked.borrow(), [0..100, 100..200, 200..300, 100..200]);
}

#[test]
fn a_chunk_over_the_budget_is_passed_on_but_not_kept() {
    let source = counting(1000);
    let (cached, cache) = cached(&source, 99);
    assert_eq!(block_on(read_vec(&cached, 0..100)).unwrap(), bytes(100));
    assert_eq!(cache.held_bytes(), 0);
}

#[test]
fn a_broken_chunk_is_not_kept() {
    let source = counting(1000);
    let (cached, cache) = cached(&source, 1000);
    source.fails_after.set(Some(40));
    assert!(block_on(read_vec(&cached, 0..100)).is_err());
    assert_eq!(cache.held_bytes(), 0);
    source.fails_after.set(None);
    assert_eq!(block_on(read_vec(&cached, 0..100)).unwrap(), bytes(100));
}

#[test]
fn a_sink_that_breaks_cancels_a_cached_read() {
    let source = counting(1000);
    let (cached, _) = cached(&source, 1000);
    let got = block_on(cached.read(0..1000, &mut |_| ControlFlow::Break(())));
    assert!(matches!(got, Err(Error::Cancelled { .. })), "{got:?}");
    assert_eq!(source.asked.borrow().len(), 1);
}

#[test]
fn a_cache_that_holds_a_chunk_of_another_size_is_not_believed() {
    let source = counting(1000);
    let (cached, cache) = cached(&source, 1000);
    block_on(cache.put("m", 0, Rc::from(&b"short"[..]))).unwrap();
    let got = block_on(read_vec(&cached, 0..3));
    assert!(matches!(got, Err(Error::Read { .. })), "{got:?}");
}
