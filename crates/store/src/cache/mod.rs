//! What is kept of a file, so that no byte comes over the network twice.
//!
//! A [`Home`] is a place for bytes: a directory, a browser's database, its private files, memory. It has a [`Shelf`] for each
//! version of a file. A shelf keeps **extents**: bytes as they were fetched, written and committed at once.
//! An extent consists of **chunks** of [`CHUNK_BYTES`] (the last is shorter), each with a checksum that is held against
//! the bytes whenever they are read. What a home shares with the others (looking up, checking, fetching what is missing,
//! verifying, exporting) is written once, over these traits.
//!
//! Extents begin and end where reads did, not at multiples of anything: with a grid of 256 KiB, expert slices of 4.4 MB
//! would cost 6 % more than they have, those of small models twice what they have. A catalogue of 12 GB in chunks is 46,000
//! entries of 20 bytes, and a row of 3 KB is checked by reading no more than a chunk.
//!
//! The checksum is XXH3: it runs at memory speed without special instructions, which wasm does not have. It guards
//! against torn writes and failing disks, not against malice; for that there is the SHA-256 of a whole file, which is held against
//! a [`Manifest`](crate::Manifest) in the background.

mod cached;
mod check;
mod flights;
pub(crate) mod import;
pub(crate) mod index;
mod keeper;
mod memory;
mod tools;

use std::ops::Range;
use std::rc::Rc;

use crate::http::tags_differ;
pub use crate::platform::Claim;
use crate::{Error, KnownSum, LocalFuture, Sink};

pub(crate) use cached::Cached;
pub use import::{import, list};
pub use memory::MemoryHome;
pub use tools::{Verified, export, verify};

/// The most that a checksum covers: what passes through memory at once. Of a piece that is read, parts of two of them may be for nothing.
/// 64 KiB are read a tenth to a quarter slower from OPFS, 1 MiB up to a fifth faster there, and neither is written faster
/// (`tests/bench/paging.csv`).
pub const CHUNK_BYTES: usize = crate::source::WINDOW_BYTES;
/// The most that a shelf commits at once, if it does not say otherwise; what is lost with a tab is one for each request. From 1 to 16 MiB
/// browsers write about as fast; 4 MiB and more are read a sixth faster by Chromium's IndexedDB, at the price of twice the loss.
pub const EXTENT_BYTES: usize = 2 << 20;

/// Which version of which file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The URL, as it was given.
    pub location: String,
    /// Bytes of the whole file.
    pub size: u64,
    /// ETag or date, if the server tells one.
    pub tag: Option<String>,
}

impl Identity {
    /// Whether `now`, of the same place, is another version.
    pub(crate) fn differs(&self, now: &Self) -> bool {
        self.size != now.size || tags_differ(self.tag.as_deref(), now.tag.as_deref())
    }
}

/// Bytes that are kept, and what they must sum to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// From the start of the file.
    pub start: u64,
    /// 1 to [`CHUNK_BYTES`].
    pub len: u32,
    /// [`checksum`] of the bytes.
    pub sum: u64,
}

impl Chunk {
    pub fn range(&self) -> Range<u64> {
        self.start..self.start + u64::from(self.len)
    }
}

/// What happened to a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A chunk is kept, in place of any that it overlaps.
    Kept(Chunk),
    /// Chunks that overlap this are no more.
    Lost(Range<u64>),
}

/// A file of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub identity: Identity,
    /// Bytes of the file that are kept.
    pub bytes: u64,
    /// Of the whole file, if somebody says what it is.
    pub sum: Option<KnownSum>,
    /// Whether an import has begun and not come to its end, be it under way or not.
    pub is_importing: bool,
}

/// A place where bytes stay between visits.
pub trait Home {
    /// As a person would name it: a path, "IndexedDB".
    fn name(&self) -> String;

    /// All files, for each location the oldest version first, with what an import that was killed has left: see [`list`].
    ///
    /// # Errors
    /// What the medium reports.
    fn list(&self) -> LocalFuture<'_, Result<Vec<Kept>, Error>>;

    /// The shelf of a file, which is made if it is not there.
    ///
    /// # Errors
    /// What the medium reports; [`Error::Format`] if a newer program wrote it.
    fn open<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<Rc<dyn Shelf>, Error>>;

    /// Removes a file with all that belongs to it; one that is not there is no error.
    ///
    /// # Errors
    /// What the medium reports.
    fn remove<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<(), Error>>;

    /// How much there is room for, as far as the medium tells.
    fn free_bytes(&self) -> LocalFuture<'_, Option<u64>> {
        Box::pin(async { None })
    }
}

/// What a home keeps of one version of one file.
pub trait Shelf {
    /// What has changed since the last call, by whomever; the first call tells all that is kept.
    ///
    /// What [`Extent::keep`] and [`Shelf::forget`] of this very shelf did may be told or not.
    ///
    /// # Errors
    /// What the medium reports.
    fn news(&self) -> LocalFuture<'_, Result<Vec<Change>, Error>>;

    /// Gives bytes to `sink`, unchecked. The caller knows that all of `range` is in chunks that are kept.
    ///
    /// # Errors
    /// What the medium reports; [`Error::Cancelled`] if the sink breaks.
    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>>;

    /// The most that an extent should have: the more, the fewer commits; the less, the less is lost with a process that ends.
    fn extent_bytes(&self) -> usize {
        EXTENT_BYTES
    }

    /// Begins an extent at byte `start` of the file. Nothing of it is seen by anybody before it is kept.
    fn extent(&self, start: u64) -> Box<dyn Extent>;

    /// Forgets the chunks that overlap `range`.
    ///
    /// # Errors
    /// What the medium reports.
    fn forget(&self, range: Range<u64>) -> LocalFuture<'_, Result<(), Error>>;

    /// Waits until no other process or tab fetches bytes near `range`, and keeps others waiting until the result is dropped;
    /// `None` where there can be no other. Nothing depends on it but that no byte is fetched twice.
    ///
    /// # Errors
    /// What the medium reports.
    fn claim(&self, range: Range<u64>) -> LocalFuture<'_, Result<Option<Claim>, Error>>;

    /// Lets nobody else import into this shelf until the result is dropped; `None` where there can be no other.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else imports now; what the medium reports.
    fn import_claim(&self) -> LocalFuture<'_, Result<Option<Claim>, Error>> {
        Box::pin(async { Ok(None) })
    }

    /// A small piece of data that belongs to the file, such as how often its experts were used.
    ///
    /// # Errors
    /// What the medium reports.
    fn note<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>, Error>>;

    /// Writes such data whole, or leaves it as it was.
    ///
    /// # Errors
    /// What the medium reports; [`Error::Full`].
    fn set_note<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Error>>;
}

/// Bytes on their way to a shelf; they need not be in wasm memory.
pub trait Extent {
    /// Takes the next bytes.
    fn push(&mut self, piece: &[u8]);

    /// Writes what was pushed, first the bytes, then the chunks that they are, and then drops `claim`: others need not wait
    /// for anybody here to look. Work begins now; the future tells when it is done.
    ///
    /// # Errors
    /// What the medium reports; [`Error::Full`] if there is no room, after which nothing of it is kept.
    fn keep(self: Box<Self>, chunks: Vec<Chunk>, claim: Option<Claim>) -> LocalFuture<'static, Result<(), Error>>;
}

/// XXH3, 64 bits.
pub fn checksum(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
