//! A home in memory: for tests, and where nothing else may be had.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::{Change, Chunk, Claim, Extent, Home, Identity, Kept, Shelf, import};
use crate::source::{WINDOW_BYTES, give};
use crate::{Error, KnownSum, LocalFuture, Sink};

/// Keeps at most a budget of bytes, for as long as it lives.
#[derive(Debug)]
pub struct MemoryHome {
    room: Rc<Room>,
    shelves: RefCell<Vec<(Identity, Rc<Inner>)>>,
}

#[derive(Debug)]
struct Room {
    budget_bytes: Cell<u64>,
    held_bytes: Cell<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    extents: RefCell<Vec<Lying>>,
    news: RefCell<Vec<Change>>,
    notes: RefCell<HashMap<String, Vec<u8>>>,
}

/// An extent where it lies.
#[derive(Debug)]
struct Lying {
    start: u64,
    bytes: Rc<[u8]>,
    chunks: Vec<Chunk>,
}

impl MemoryHome {
    pub fn new(budget_bytes: u64) -> Self {
        let room = Room { budget_bytes: Cell::new(budget_bytes), held_bytes: Cell::new(0) };
        Self { room: Rc::new(room), shelves: RefCell::default() }
    }

    /// Gives more room, or less to what comes from now on.
    pub fn set_budget(&self, bytes: u64) {
        self.room.budget_bytes.set(bytes);
    }

    /// Bytes held now.
    pub fn held_bytes(&self) -> u64 {
        self.room.held_bytes.get()
    }
}

impl Inner {
    fn bytes(&self) -> u64 {
        self.extents.borrow().iter().map(|extent| extent.bytes.len() as u64).sum()
    }

    fn chunks(&self) -> Vec<Chunk> {
        self.extents.borrow().iter().flat_map(|extent| extent.chunks.clone()).collect()
    }
}

impl Room {
    fn free_bytes(&self) -> u64 {
        self.budget_bytes.get().saturating_sub(self.held_bytes.get())
    }
}

impl Home for MemoryHome {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self) -> LocalFuture<'_, Result<Vec<Kept>, Error>> {
        let kept = |(identity, inner): &(Identity, Rc<Inner>)| Kept {
            identity: identity.clone(),
            bytes: inner.chunks().iter().map(|chunk| u64::from(chunk.len)).sum(),
            sum: inner.notes.borrow().get(KnownSum::NOTE).and_then(|note| KnownSum::from_note(note)),
            is_importing: inner.notes.borrow().get(import::NOTE).is_some_and(|note| !note.is_empty()),
        };
        let list = self.shelves.borrow().iter().map(kept).collect();
        Box::pin(async move { Ok(list) })
    }

    fn open<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<Rc<dyn Shelf>, Error>> {
        Box::pin(async move {
            let mut shelves = self.shelves.borrow_mut();
            let inner = match shelves.iter().find(|(other, _)| other == identity) {
                Some((_, inner)) => inner.clone(),
                None => {
                    let inner = Rc::new(Inner::default());
                    shelves.push((identity.clone(), inner.clone()));
                    inner
                }
            };
            // A new reader has heard nothing yet.
            let all = inner.chunks().into_iter().map(Change::Kept).collect();
            inner.news.replace(all);
            Ok(Rc::new(MemoryShelf { identity: identity.clone(), room: self.room.clone(), inner }) as Rc<dyn Shelf>)
        })
    }

    fn remove<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.shelves.borrow_mut().retain(|(other, inner)| {
                let stays = other != identity;
                if !stays {
                    self.room.held_bytes.set(self.room.held_bytes.get() - inner.bytes());
                }
                stays
            });
            Ok(())
        })
    }

    fn free_bytes(&self) -> LocalFuture<'_, Option<u64>> {
        Box::pin(async { Some(self.room.free_bytes()) })
    }
}

struct MemoryShelf {
    identity: Identity,
    room: Rc<Room>,
    inner: Rc<Inner>,
}

impl Shelf for MemoryShelf {
    fn news(&self) -> LocalFuture<'_, Result<Vec<Change>, Error>> {
        Box::pin(async { Ok(self.inner.news.take()) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut at = range.start;
            while at < range.end {
                // The newest of those that overlap.
                let found = self.inner.extents.borrow().iter().rev().find_map(|extent| {
                    let end = extent.start + extent.bytes.len() as u64;
                    (extent.start..end).contains(&at).then(|| (extent.bytes.clone(), extent.start))
                });
                let Some((bytes, start)) = found else {
                    let location = self.identity.location.clone();
                    return Err(Error::Read { location, start: at, end: range.end, cause: "not in memory".to_owned() });
                };
                let part = &bytes[(at - start) as usize..bytes.len().min((range.end - start) as usize)];
                for piece in part.chunks(WINDOW_BYTES) {
                    give(&self.identity.location, sink, piece)?;
                }
                at += part.len() as u64;
            }
            Ok(())
        })
    }

    fn extent(&self, start: u64) -> Box<dyn Extent> {
        Box::new(Growing {
            start,
            location: self.identity.location.clone(),
            room: self.room.clone(),
            inner: self.inner.clone(),
            bytes: Vec::new(),
        })
    }

    fn forget(&self, range: Range<u64>) -> LocalFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let is_hit = |chunk: &Chunk| chunk.start < range.end && chunk.range().end > range.start;
            for extent in self.inner.extents.borrow_mut().iter_mut() {
                extent.chunks.retain(|chunk| !is_hit(chunk));
            }
            Ok(())
        })
    }

    fn claim(&self, _: Range<u64>) -> LocalFuture<'_, Result<Option<Claim>, Error>> {
        Box::pin(async { Ok(None) })
    }

    fn note<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>, Error>> {
        Box::pin(async move { Ok(self.inner.notes.borrow().get(name).cloned()) })
    }

    fn set_note<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.inner.notes.borrow_mut().insert(name.to_owned(), bytes.to_vec());
            Ok(())
        })
    }
}

struct Growing {
    start: u64,
    location: String,
    room: Rc<Room>,
    inner: Rc<Inner>,
    bytes: Vec<u8>,
}

impl Extent for Growing {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    fn keep(self: Box<Self>, chunks: Vec<Chunk>, _: Option<Claim>) -> LocalFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            let needed = self.bytes.len() as u64;
            let free = self.room.free_bytes();
            if needed > free {
                return Err(Error::Full { location: self.location, needed, free: Some(free) });
            }
            self.room.held_bytes.set(self.room.held_bytes.get() + needed);
            self.inner.extents.borrow_mut().push(Lying { start: self.start, bytes: self.bytes.into(), chunks });
            Ok(())
        })
    }
}
