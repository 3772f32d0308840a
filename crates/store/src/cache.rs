//! Chunks kept between reads.
//!
//! [`Cached`] cuts a source into chunks of one size and asks a [`Cache`] before it asks the source. Only whole chunks
//! are kept. Where they are kept is the cache's business.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use crate::source::{check_range, give};
use crate::{Error, LocalFuture, Sink, Source};

/// A place for whole chunks of a source, named by location and chunk number.
///
/// A cache may forget anything at any time; it may not alter it.
pub trait Cache {
    /// The bytes of a chunk, if they are held.
    fn get<'a>(&'a self, location: &'a str, chunk: u64) -> LocalFuture<'a, Result<Option<Rc<[u8]>>, Error>>;

    /// Keeps a whole chunk, making room by forgetting others.
    fn put<'a>(&'a self, location: &'a str, chunk: u64, bytes: Rc<[u8]>) -> LocalFuture<'a, Result<(), Error>>;
}

/// Keeps chunks in memory up to a budget and forgets the least recently used first.
#[derive(Debug)]
pub struct MemoryCache {
    budget_bytes: usize,
    shelf: RefCell<Shelf>,
}

type Key = (String, u64);

#[derive(Debug, Default)]
struct Shelf {
    chunks: HashMap<Key, (Rc<[u8]>, u64)>,
    /// Time of last use to chunk; the first is the next to go.
    order: BTreeMap<u64, Key>,
    now: u64,
    held_bytes: usize,
}

impl MemoryCache {
    /// Holds at most `budget_bytes` of chunks; a chunk larger than that is never kept.
    pub fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, shelf: RefCell::default() }
    }

    /// Bytes held now.
    pub fn held_bytes(&self) -> usize {
        self.shelf.borrow().held_bytes
    }
}

impl Shelf {
    fn touch(&mut self, key: &Key) -> Option<Rc<[u8]>> {
        let (bytes, used) = self.chunks.get_mut(key)?;
        self.now += 1;
        self.order.remove(used);
        *used = self.now;
        self.order.insert(self.now, key.clone());
        Some(bytes.clone())
    }

    fn remove(&mut self, key: &Key) {
        if let Some((bytes, used)) = self.chunks.remove(key) {
            self.order.remove(&used);
            self.held_bytes -= bytes.len();
        }
    }

    fn insert(&mut self, key: Key, bytes: Rc<[u8]>, budget_bytes: usize) {
        self.remove(&key);
        if bytes.len() > budget_bytes {
            return;
        }
        while self.held_bytes + bytes.len() > budget_bytes
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.remove(&oldest);
        }
        self.now += 1;
        self.held_bytes += bytes.len();
        self.order.insert(self.now, key.clone());
        self.chunks.insert(key, (bytes, self.now));
    }
}

impl Cache for MemoryCache {
    fn get<'a>(&'a self, location: &'a str, chunk: u64) -> LocalFuture<'a, Result<Option<Rc<[u8]>>, Error>> {
        Box::pin(async move {
            let key = (location.to_owned(), chunk);
            Ok(self.shelf.borrow_mut().touch(&key))
        })
    }

    fn put<'a>(&'a self, location: &'a str, chunk: u64, bytes: Rc<[u8]>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let key = (location.to_owned(), chunk);
            self.shelf.borrow_mut().insert(key, bytes, self.budget_bytes);
            Ok(())
        })
    }
}

/// A source behind a cache.
pub struct Cached {
    source: Rc<dyn Source>,
    cache: Rc<dyn Cache>,
    chunk_bytes: u64,
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").field("source", &self.source.location()).field("chunk_bytes", &self.chunk_bytes).finish_non_exhaustive()
    }
}

impl Cached {
    /// About one expert slice of gpt-oss-20b: large enough that a request's round trip is a small part of it.
    pub const CHUNK_BYTES: u64 = 4 << 20;

    /// Reads `source` through `cache` in chunks of [`Self::CHUNK_BYTES`].
    pub fn new(source: Rc<dyn Source>, cache: Rc<dyn Cache>) -> Self {
        Self::with_chunk_bytes(source, cache, Self::CHUNK_BYTES)
    }

    /// As [`Self::new`] with another chunk size, which is at least one byte.
    pub fn with_chunk_bytes(source: Rc<dyn Source>, cache: Rc<dyn Cache>, chunk_bytes: u64) -> Self {
        Self { source, cache, chunk_bytes: chunk_bytes.max(1) }
    }

    /// Gives `wanted`, a part of chunk number `chunk`, whose bytes are at `whole`, to `sink`.
    async fn read_chunk(&self, chunk: u64, whole: Range<u64>, wanted: Range<u64>, sink: &mut Sink<'_>) -> Result<(), Error> {
        let location = self.source.location();
        if let Some(bytes) = self.cache.get(location, chunk).await? {
            let held = whole.start..whole.start + bytes.len() as u64;
            return match overlap(&bytes, &held, &wanted) {
                Some(part) if held == whole => give(location, sink, part),
                _ => Err(Error::Read {
                    location: location.to_owned(),
                    start: whole.start,
                    end: whole.end,
                    cause: format!("the cache holds {} bytes of the chunk", bytes.len()),
                }),
            };
        }
        let mut bytes = Vec::with_capacity((whole.end - whole.start) as usize);
        let mut keep_and_give = |piece: &[u8]| {
            let at = whole.start + bytes.len() as u64;
            bytes.extend_from_slice(piece);
            match overlap(piece, &(at..at + piece.len() as u64), &wanted) {
                Some(part) => sink(part),
                None if piece.is_empty() => sink(piece),
                None => ControlFlow::Continue(()),
            }
        };
        self.source.read(whole.clone(), &mut keep_and_give).await?;
        self.cache.put(location, chunk, bytes.into()).await
    }
}

/// The part of `bytes`, which lie at `at`, that is inside `wanted`.
fn overlap<'a>(bytes: &'a [u8], at: &Range<u64>, wanted: &Range<u64>) -> Option<&'a [u8]> {
    let start = wanted.start.max(at.start);
    let end = wanted.end.min(at.end);
    (start < end).then(|| &bytes[(start - at.start) as usize..(end - at.start) as usize])
}

impl Source for Cached {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        self.source.size()
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let size = self.source.size().await?;
            check_range(self.location(), &range, size)?;
            let mut at = range.start;
            while at < range.end {
                let chunk = at / self.chunk_bytes;
                let start = chunk * self.chunk_bytes;
                let end = start.saturating_add(self.chunk_bytes).min(size);
                let wanted = at..range.end.min(end);
                self.read_chunk(chunk, start..end, wanted, sink).await?;
                at = end;
            }
            Ok(())
        })
    }
}
