//! Bytes as they come, cut into chunks and extents and put on the shelf.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::task::ready;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use web_time::Instant;
use xxhash_rust::xxh3::Xxh3Default;

use super::index::Index;
use super::{CHUNK_BYTES, Change, Chunk, Claim, Extent, Shelf};
use crate::{Error, LocalFuture};

/// How long nothing is written after a write has failed: room may be made meanwhile.
const PAUSE: Duration = Duration::from_secs(2);
/// How long an extent grows, on a slow link: what came in this time may be lost with the process.
const GROWTH: Duration = Duration::from_secs(2);
/// Bytes on their way to the shelf before readers have to wait; the last piece of each and the extents that grow come on top.
pub(crate) const MOST_PENDING: u64 = 8 << 20;

/// A shelf, what is on it, and what is on its way there.
pub(crate) struct Store {
    pub(crate) shelf: Rc<dyn Shelf>,
    pub(crate) index: RefCell<Index>,
    writes: RefCell<Vec<Write>>,
    /// Why bytes are not kept at the moment.
    problem: RefCell<Option<Rc<Error>>>,
    paused_until: Cell<Option<Instant>>,
}

#[derive(Clone)]
struct Write {
    range: Range<u64>,
    done: Shared<LocalFuture<'static, ()>>,
}

impl Store {
    pub(crate) fn new(shelf: Rc<dyn Shelf>) -> Rc<Self> {
        Rc::new(Self {
            shelf,
            index: RefCell::default(),
            writes: RefCell::default(),
            problem: RefCell::default(),
            paused_until: Cell::new(None),
        })
    }

    /// Learns what others have put on the shelf.
    pub(crate) async fn learn(&self) -> Result<(), Error> {
        let news = self.shelf.news().await?;
        let mut index = self.index.borrow_mut();
        news.iter().for_each(|change| index.apply(change));
        Ok(())
    }

    /// Waits for the write that brings byte `at`; false if there is none.
    pub(crate) async fn written(&self, at: u64) -> bool {
        let write = self.writes.borrow().iter().find(|write| write.range.contains(&at)).cloned();
        match write {
            Some(write) => {
                write.done.await;
                true
            }
            None => false,
        }
    }

    /// Whether a write is to bring byte `at`.
    pub(crate) fn is_pending(&self, at: u64) -> bool {
        self.writes.borrow().iter().any(|write| write.range.contains(&at))
    }

    /// Where the first write at or after `at` begins.
    pub(crate) fn next_from(&self, at: u64) -> Option<u64> {
        self.writes.borrow().iter().map(|write| write.range.start).filter(|&start| start >= at).min()
    }

    /// Bytes that are on their way.
    fn pending_bytes(&self) -> u64 {
        self.writes.borrow().iter().map(|write| write.range.end - write.range.start).sum()
    }

    /// `work`, which brings bytes, polled only while not too many are on their way.
    pub(crate) async fn pace<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut settled = pin!(self.settle(MOST_PENDING));
        poll_fn(|context| {
            while self.pending_bytes() > MOST_PENDING {
                ready!(settled.as_mut().poll(context));
                settled.set(self.settle(MOST_PENDING));
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// Waits until at most `bytes` are on their way.
    pub(crate) async fn settle(&self, bytes: u64) {
        loop {
            let oldest = self.writes.borrow().first().filter(|_| self.pending_bytes() > bytes).cloned();
            match oldest {
                Some(write) => write.done.await,
                None => return,
            }
        }
    }

    /// Why the last write failed, told once.
    pub(crate) fn take_problem(&self) -> Option<Rc<Error>> {
        self.problem.borrow_mut().take()
    }

    /// Goes on without the shelf for a while.
    pub(crate) fn suffer(&self, error: Error) {
        log::warn!("not kept: {error}");
        self.paused_until.set(Some(Instant::now() + PAUSE));
        *self.problem.borrow_mut() = Some(Rc::new(error));
    }

    fn is_paused(&self) -> bool {
        self.paused_until.get().is_some_and(|until| Instant::now() < until)
    }

    fn keep(self: &Rc<Self>, extent: Box<dyn Extent>, chunks: Vec<Chunk>, claim: Option<Claim>) {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
            return;
        };
        let range = first.start..last.range().end;
        let work = extent.keep(chunks.clone(), claim);
        // The store holds its writes, so they must not hold it: a shelf that nobody uses any more should end.
        let (store, key) = (Rc::downgrade(self), range.clone());
        let done: LocalFuture<'static, ()> = Box::pin(async move {
            let done = work.await;
            let Some(store) = store.upgrade() else {
                return;
            };
            match done {
                Ok(()) => chunks.into_iter().for_each(|chunk| store.index.borrow_mut().apply(&Change::Kept(chunk))),
                Err(error) => store.suffer(error),
            }
            store.writes.borrow_mut().retain(|write| write.range != key);
        });
        self.writes.borrow_mut().push(Write { range, done: done.shared() });
    }
}

/// Takes the bytes of one fetch, in order.
pub(crate) struct Keeper<'a> {
    store: &'a Rc<Store>,
    claim: Option<Claim>,
    /// Of the file.
    at: u64,
    open: Option<Open>,
}

/// An extent that grows.
struct Open {
    extent: Box<dyn Extent>,
    began: Instant,
    /// Bytes of the extent.
    len: usize,
    chunks: Vec<Chunk>,
    /// The chunk that grows.
    start: u64,
    chunk_len: usize,
    sum: Xxh3Default,
}

impl Open {
    fn close_chunk(&mut self) {
        if self.chunk_len > 0 {
            self.chunks.push(Chunk { start: self.start, len: self.chunk_len as u32, sum: self.sum.digest() });
            self.start += self.chunk_len as u64;
            self.chunk_len = 0;
            self.sum.reset();
        }
    }
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(store: &'a Rc<Store>, start: u64, claim: Option<Claim>) -> Self {
        Self { store, claim, at: start, open: None }
    }

    /// Takes the next bytes; those that are kept already are passed over.
    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (kept, next) = {
                let index = self.store.index.borrow();
                (index.at(self.at), index.next_from(self.at))
            };
            let most = piece.len() as u64;
            let n = match (kept, next) {
                (Some(chunk), _) => {
                    self.finish();
                    (chunk.range().end - self.at).min(most) as usize
                }
                (None, next) => {
                    let free = next.map_or(most, |next| (next - self.at).min(most)) as usize;
                    self.take(&piece[..free])
                }
            };
            piece = &piece[n..];
            self.at += n as u64;
        }
    }

    /// Takes as many bytes as fit into the chunk that grows.
    fn take(&mut self, piece: &[u8]) -> usize {
        if self.open.is_none() && self.store.is_paused() {
            return piece.len();
        }
        let (start, most) = (self.at, self.store.shelf.extent_bytes());
        let open = self.open.get_or_insert_with(|| Open {
            extent: self.store.shelf.extent(start),
            began: Instant::now(),
            len: 0,
            chunks: Vec::new(),
            start,
            chunk_len: 0,
            sum: Xxh3Default::new(),
        });
        let n = piece.len().min(CHUNK_BYTES - open.chunk_len).min(most - open.len);
        open.extent.push(&piece[..n]);
        open.sum.update(&piece[..n]);
        open.chunk_len += n;
        open.len += n;
        if open.chunk_len == CHUNK_BYTES {
            open.close_chunk();
        }
        let is_old = open.chunk_len == 0 && open.began.elapsed() >= GROWTH;
        if open.len == most || is_old {
            self.finish();
        }
        n
    }

    /// Puts what has come on its way to the shelf.
    fn finish(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.close_chunk();
            self.store.keep(open.extent, open.chunks, self.claim.clone());
        }
    }
}

impl Drop for Keeper<'_> {
    /// Whatever ends a fetch, what came is good.
    fn drop(&mut self) {
        self.finish();
    }
}
