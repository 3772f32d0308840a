//! A home that is slower than the network, and whose journal one reads or writes at a time.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::{ControlFlow, Range};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::future::join;
use futures_util::lock::Mutex;
use store::{
    Change, Chunk, Claim, Error, Extent, Home, Identity, Kept, Library, LocalFuture, Memory, MemoryHome, Priority, Run, Shelf, Sink, Source,
};

const MIB: u64 = 1 << 20;

/// Keeps nothing before its gate is opened.
struct Gated {
    memory: MemoryHome,
    gate: Rc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_open: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    /// Held by who reads the journal, and by who writes it.
    journal: Mutex<()>,
    /// Bytes that were given to extents.
    pushed: Cell<u64>,
}

impl Gate {
    fn open(&self) {
        self.is_open.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    async fn passed(&self) {
        poll_fn(|context| match self.is_open.get() {
            true => Poll::Ready(()),
            false => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await;
    }
}

impl Home for Gated {
    fn name(&self) -> String {
        "a gate".to_owned()
    }
    fn list(&self) -> LocalFuture<'_, Result<Vec<Kept>, Error>> {
        self.memory.list()
    }
    fn open<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<Rc<dyn Shelf>, Error>> {
        Box::pin(async {
            let shelf = self.memory.open(identity).await?;
            Ok(Rc::new(GatedShelf { shelf, gate: self.gate.clone() }) as Rc<dyn Shelf>)
        })
    }
    fn remove<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<(), Error>> {
        self.memory.remove(identity)
    }
}

struct GatedShelf {
    shelf: Rc<dyn Shelf>,
    gate: Rc<Gate>,
}

impl Shelf for GatedShelf {
    fn news(&self) -> LocalFuture<'_, Result<Vec<Change>, Error>> {
        Box::pin(async {
            let _alone = self.gate.journal.lock().await;
            pause().await;
            self.shelf.news().await
        })
    }
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        self.shelf.read(range, sink)
    }
    fn extent(&self, start: u64) -> Box<dyn Extent> {
        Box::new(GatedExtent { extent: self.shelf.extent(start), gate: self.gate.clone() })
    }
    fn forget(&self, range: Range<u64>) -> LocalFuture<'_, Result<(), Error>> {
        self.shelf.forget(range)
    }
    fn claim(&self, range: Range<u64>) -> LocalFuture<'_, Result<Option<Claim>, Error>> {
        self.shelf.claim(range)
    }
    fn note<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>, Error>> {
        self.shelf.note(name)
    }
    fn set_note<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Error>> {
        self.shelf.set_note(name, bytes)
    }
}

struct GatedExtent {
    extent: Box<dyn Extent>,
    gate: Rc<Gate>,
}

impl Extent for GatedExtent {
    fn push(&mut self, piece: &[u8]) {
        self.gate.pushed.set(self.gate.pushed.get() + piece.len() as u64);
        self.extent.push(piece);
    }
    fn keep(self: Box<Self>, chunks: Vec<Chunk>, claim: Option<Claim>) -> LocalFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            self.gate.passed().await;
            let _alone = self.gate.journal.lock().await;
            self.extent.keep(chunks, claim).await
        })
    }
}

/// Ready at the next poll.
async fn pause() {
    let mut has_paused = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut has_paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A network that has everything at once, a piece in each poll.
struct Fast(Memory);

impl Source for Fast {
    fn location(&self) -> &str {
        self.0.location()
    }
    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        self.0.size()
    }
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            for start in range.clone().step_by(256 << 10) {
                self.0.read(start..range.end.min(start + (256 << 10)), sink).await?;
                pause().await;
            }
            Ok(())
        })
    }
    fn is_remote(&self) -> bool {
        true
    }
}

#[test]
fn what_waits_to_be_written_is_bounded_at_all_times_and_all_of_it_comes_in_the_end() {
    let n = 96 * MIB;
    let gate = Rc::new(Gate::default());
    let home = Rc::new(Gated { memory: MemoryHome::new(u64::MAX), gate: gate.clone() });
    let source: Rc<dyn Source> = Rc::new(Fast(Memory::new("https://example.com/m.gguf", vec![7; n as usize])));
    let library = pollster::block_on(Library::with_home(vec![source], home.clone())).unwrap();
    let runs: Vec<_> = (0..6).map(|i| Run { shard: 0, range: i * n / 6..(i + 1) * n / 6 }).collect();
    let mut got = 0;
    let mut sink = |_: usize, piece: &[u8]| {
        got += piece.len() as u64;
        ControlFlow::Continue(())
    };
    {
        let mut read = pin!(library.read_runs(&runs, Priority::Demand, &mut sink));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2000 {
            assert!(read.as_mut().poll(&mut context).is_pending());
        }
        // What waits, and of each of six requests an extent that grows.
        let pushed = gate.pushed.get();
        assert!(pushed > 8 * MIB && pushed <= (8 + 6 * 2 + 2) * MIB, "{} MiB", pushed / MIB);
        gate.open();
        pollster::block_on(read).unwrap();
    }
    pollster::block_on(library.flush());
    assert_eq!((got, pollster::block_on(home.list()).unwrap()[0].bytes), (n, n));
}

#[test]
fn a_read_that_loses_its_turn_keeps_the_journal_from_nobody() {
    let n = 16 * MIB;
    let gate = Rc::new(Gate::default());
    gate.open();
    let home = Rc::new(Gated { memory: MemoryHome::new(u64::MAX), gate });
    let source: Rc<dyn Source> = Rc::new(Fast(Memory::new("https://example.com/m.gguf", vec![7; n as usize])));
    let library = pollster::block_on(Library::with_home(vec![source], home)).unwrap();
    let (later, now) = ([Run { shard: 0, range: 0..n / 2 }], [Run { shard: 0, range: n / 2..n }]);
    let (mut first, mut second) = (|_: usize, _: &[u8]| ControlFlow::Continue(()), |_: usize, _: &[u8]| ControlFlow::Continue(()));
    let mut context = Context::from_waker(Waker::noop());
    let mut background = Box::pin(library.read_runs(&later, Priority::Background, &mut first));
    // It is reading the journal when somebody waits for something else.
    assert!(background.as_mut().poll(&mut context).is_pending());
    let mut both = pin!(join(library.read_runs(&now, Priority::Demand, &mut second), background));
    let done = (0..10_000).find_map(|_| match both.as_mut().poll(&mut context) {
        Poll::Ready((demand, background)) => Some((demand.is_ok(), background.is_ok())),
        Poll::Pending => None,
    });
    assert_eq!(done, Some((true, true)));
}
