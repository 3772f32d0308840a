//! Imports that end early: none of what they brought may join what a server has.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init, reason = "tests")]

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use pollster::block_on;
use store::{
    Directory, Error, Home, Identity, Library, LocalFuture, Memory, MemoryHome, Priority, Run, Sink, Source, export, import, list,
};

const URL: &str = "https://example.com/m.gguf";
const SIZE: usize = 20_000_000;

fn bytes(seed: u8) -> Vec<u8> {
    (0..SIZE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

/// The server's file, under the tag that it says, if it says one.
struct Remote(Memory, Option<String>);

impl Remote {
    fn new(tag: Option<&str>) -> Rc<Self> {
        Rc::new(Self(Memory::new(URL, bytes(1)), tag.map(str::to_owned)))
    }
}

impl Source for Remote {
    fn location(&self) -> &str {
        self.0.location()
    }
    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        self.0.size()
    }
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        self.0.read(range, sink)
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn tag(&self) -> Option<String> {
        self.1.clone()
    }
}

/// A file that is not to be read past a byte.
struct Slow {
    memory: Memory,
    end: u64,
}

impl Slow {
    fn new(seed: u8, end: u64) -> Self {
        Self { memory: Memory::new("the file", bytes(seed)), end }
    }
}

impl Source for Slow {
    fn location(&self) -> &str {
        self.memory.location()
    }
    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        self.memory.size()
    }
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.memory.read(range.start..range.end.min(self.end), sink).await?;
            if range.end > self.end { std::future::pending().await } else { Ok(()) }
        })
    }
}

/// A home of each kind, and what removes it.
fn homes(name: &str) -> (Vec<Rc<dyn Home>>, Folder) {
    let folder = Folder(std::env::temp_dir().join(format!("quire-imports-{}-{name}", std::process::id())));
    let _ = std::fs::remove_dir_all(&folder.0);
    (vec![Rc::new(MemoryHome::new(u64::MAX)), Rc::new(Directory::new(&folder.0))], folder)
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn identity(tag: Option<&str>) -> Identity {
    Identity { location: URL.to_owned(), size: SIZE as u64, tag: tag.map(str::to_owned) }
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn read(library: &Library, range: Range<u64>) -> Vec<u8> {
    let mut got = Vec::new();
    let mut sink = |_: usize, piece: &[u8]| {
        got.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    block_on(library.read_runs(&[Run { shard: 0, range }], Priority::Demand, &mut sink)).unwrap();
    block_on(library.flush());
    got
}

/// Polls an import of the file of `seed` until it stands still, gives that moment to `look`, and drops it as an abort does.
fn drop_halfway(home: &dyn Home, identity: &Identity, seed: u8, look: impl FnOnce()) {
    // Past what waits to be written at most.
    let source = Slow::new(seed, 17_500_000);
    let mut on_progress = go_on;
    let mut importing = pin!(import(home, identity, &source, &mut on_progress));
    let mut rounds = 0;
    while rounds < 100 || block_on(home.list()).unwrap()[0].bytes <= 2_000_000 {
        assert!(importing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() && rounds < 20_000);
        std::thread::sleep(Duration::from_millis(1));
        rounds += 1;
    }
    look();
}

fn all_of(home: &Rc<dyn Home>, server: &Rc<Remote>) {
    let library = block_on(Library::with_home(vec![server.clone()], home.clone())).unwrap();
    assert!(read(&library, 0..SIZE as u64) == bytes(1), "{}: it is not the server's file", home.name());
}

#[test]
fn an_import_that_is_dropped_leaves_nothing_that_joins_the_servers_file() {
    for tag in [None, Some("1")] {
        let (homes, _folder) = homes("dropped");
        for home in homes {
            drop_halfway(&*home, &identity(None), 0, || {});
            let left = block_on(home.list()).unwrap();
            assert!(left[0].is_importing && left[0].bytes > 0, "{left:?}");
            // Who opens it first, or who lists it.
            if tag.is_some() {
                assert_eq!(block_on(list(&*home)).unwrap(), []);
            }
            all_of(&home, &Remote::new(tag));
            assert_eq!(block_on(list(&*home)).unwrap().len(), 1);
        }
    }
}

#[test]
fn who_brings_in_another_file_after_a_dropped_import_finds_nothing_of_it() {
    let (homes, _folder) = homes("left");
    for home in homes {
        let identity = identity(None);
        drop_halfway(&*home, &identity, 0, || {});
        block_on(import(&*home, &identity, &Slow::new(2, u64::MAX), &mut go_on)).unwrap();
        let mut out = Vec::new();
        let mut take = |piece: &[u8]| {
            out.extend_from_slice(piece);
            ControlFlow::Continue(())
        };
        block_on(export(&*home, &identity, &mut take)).unwrap();
        assert!(out == bytes(2));
        assert!(!block_on(list(&*home)).unwrap()[0].is_importing);
    }
}

#[test]
fn an_import_that_is_stopped_or_fails_leaves_what_was_kept_before() {
    let (homes, _folder) = homes("before");
    for home in homes {
        let server = Remote::new(Some("1"));
        let library = block_on(Library::with_home(vec![server.clone()], home.clone())).unwrap();
        read(&library, 3_000_000..5_000_000);
        drop(library);
        let identity = identity(Some("1"));
        // The same file, so that it gets past what is kept.
        let source = Slow::new(1, u64::MAX);
        let stopped =
            block_on(import(&*home, &identity, &source, &mut |at| if at < 9_000_000 { go_on(at) } else { ControlFlow::Break(()) }));
        assert!(matches!(stopped, Err(Error::Cancelled { .. })), "{stopped:?}");
        let kept = block_on(home.list()).unwrap();
        assert_eq!((kept[0].bytes, kept[0].is_importing), (2_000_000, false));
        // Another one is found out, and brings nothing either.
        let other = block_on(import(&*home, &identity, &Slow::new(0, u64::MAX), &mut go_on));
        assert!(matches!(other, Err(Error::Unlike { .. })), "{other:?}");
        drop_halfway(&*home, &identity, 1, || {});
        assert_eq!(block_on(list(&*home)).unwrap()[0].bytes, 2_000_000);
        all_of(&home, &server);
    }
}

#[test]
fn while_an_import_goes_on_nobody_uses_or_discards_what_it_brings() {
    let (homes, _folder) = homes("alive");
    // Memory has one user, who does one thing at a time.
    let home = &homes[1];
    let identity = identity(None);
    let has_looked = Cell::new(false);
    drop_halfway(&**home, &identity, 0, || {
        has_looked.set(true);
        assert!(block_on(list(&**home)).unwrap()[0].bytes > 0);
        let busy = block_on(import(&**home, &identity, &Slow::new(1, u64::MAX), &mut go_on));
        assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
        // The server's file comes without being kept, and why is said.
        let library = block_on(Library::with_home(vec![Remote::new(None)], home.clone())).unwrap();
        assert!(matches!(library.take_problem().as_deref(), Some(Error::Busy { .. })) && !library.keeps());
        assert!(read(&library, 0..SIZE as u64) == bytes(1));
        assert!(block_on(list(&**home)).unwrap()[0].bytes > 0);
    });
    assert!(has_looked.get());
    assert_eq!(block_on(list(&**home)).unwrap(), []);
}
