//! Ranged bytes: where a model's bytes come from, and what is kept of them.
//!
//! A [`Source`] is anything that can be read by byte range: a local file, a URL, a browser `File`, memory. Bytes
//! arrive in pieces through one fixed window, never as one growing buffer, because a model is larger than the memory
//! it passes through and wasm memory never shrinks. A [`Library`] is the shards of one model: it reads many ranges at once,
//! and keeps what came over the network in a [`Home`], so that it comes once.
//!
//! ```no_run
//! # async fn example() -> Result<(), store::Error> {
//! let source = store::open("https://example.com/model.gguf")?;
//! let head = store::read_vec(&*source, 0..65_536).await?;
//! # Ok(()) }
//! ```

mod cache;
mod error;
mod http;
mod library;
mod link;
mod manifest;
mod memory;
mod ram;
mod runs;
mod source;
mod sum;

#[cfg(not(target_arch = "wasm32"))]
#[path = "native/mod.rs"]
mod platform;
#[cfg(target_arch = "wasm32")]
#[path = "wasm/mod.rs"]
mod platform;

pub use cache::{
    CHUNK_BYTES, Change, Chunk, Claim, EXTENT_BYTES, Extent, Home, Identity, Kept, MemoryHome, Shelf, Verified, checksum, export, import,
    list, verify,
};
pub use error::{Cause, Error};
pub use http::{Http, Retry};
pub use library::{Library, OpenOptions, RunSink};
pub use link::Priority;
pub use manifest::Manifest;
pub use memory::Memory;
pub use platform::*;
pub use runs::Run;
pub use source::{LocalFuture, Sink, Source, Traffic, read_vec};
pub use sum::{KnownSum, Sum};
