//! What a person may want to do with what is kept: check it, take it out whole.

use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use super::index::Index;
use super::{CHUNK_BYTES, Change, Chunk, Home, Identity, Shelf, checksum};
use crate::source::give;
use crate::{Error, KnownSum, Sink, Sum};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub chunks: u64,
    /// Bytes that are kept and good.
    pub bytes: u64,
    /// Chunks that were damaged, and are forgotten now.
    pub bad_chunks: u64,
    /// Of the whole file, if all of it is kept and good.
    pub sha256: Option<Sum>,
    /// Whether a manifest or the server has said that sum.
    pub is_announced: bool,
}

/// Reads all that is kept of a file and holds it against its checksums; forgets what is damaged, so that it will be fetched
/// again. `on_progress` is given the bytes done and may break.
///
/// # Errors
/// [`Error::Unlike`] if a whole file is not what a manifest or the server says, after which nothing is kept of it; what the home
/// reports; [`Error::Cancelled`].
pub async fn verify(home: &dyn Home, identity: &Identity, on_progress: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Verified, Error> {
    let shelf = home.open(identity).await?;
    let index = learn(&*shelf).await?;
    let mut found = Verified { chunks: 0, bytes: 0, bad_chunks: 0, sha256: None, is_announced: false };
    let (mut hash, mut hashed) = (Sha256::new(), 0);
    for chunk in index.chunks() {
        give(&identity.location, &mut |_| on_progress(found.bytes), &[])?;
        found.chunks += 1;
        match read_chunk(&*shelf, chunk).await {
            Some(bytes) => {
                found.bytes += u64::from(chunk.len);
                if hashed == chunk.start {
                    hash.update(&bytes);
                    hashed = chunk.range().end;
                }
            }
            None => {
                found.bad_chunks += 1;
                shelf.forget(chunk.range()).await?;
            }
        }
    }
    found.sha256 = (hashed == identity.size).then(|| Sum(hash.finalize().into()));
    let known = shelf.note(KnownSum::NOTE).await?.and_then(|note| KnownSum::from_note(&note));
    if let (Some(known), Some(got)) = (known, found.sha256) {
        let is_checked = known.sum == got;
        shelf.set_note(KnownSum::NOTE, &KnownSum { is_checked, ..known }.to_note()).await?;
        if !is_checked {
            shelf.forget(0..identity.size).await?;
            let (location, expected, got) = (identity.location.clone(), known.sum.to_string(), got.to_string());
            return Err(Error::Unlike { location, what: "its SHA-256", expected, got });
        }
        found.is_announced = true;
    }
    Ok(found)
}

/// Gives a whole file to `sink`, checked.
///
/// # Errors
/// [`Error::Incomplete`] if some of it is not kept or damaged; what the home reports; [`Error::Cancelled`].
pub async fn export(home: &dyn Home, identity: &Identity, sink: &mut Sink<'_>) -> Result<(), Error> {
    let shelf = home.open(identity).await?;
    let index = learn(&*shelf).await?;
    let incomplete = |kept| Error::Incomplete { location: identity.location.clone(), kept, size: identity.size };
    if index.bytes() != identity.size {
        return Err(incomplete(index.bytes()));
    }
    let mut given = 0;
    for chunk in index.chunks() {
        let bytes = read_chunk(&*shelf, chunk).await.ok_or_else(|| incomplete(given))?;
        give(&identity.location, sink, &bytes)?;
        given += bytes.len() as u64;
    }
    Ok(())
}

async fn learn(shelf: &dyn Shelf) -> Result<Index, Error> {
    let mut index = Index::default();
    let news: Vec<Change> = shelf.news().await?;
    news.iter().for_each(|change| index.apply(change));
    Ok(index)
}

/// The bytes of a chunk, if they can be read and are good.
pub(super) async fn read_chunk(shelf: &dyn Shelf, chunk: &Chunk) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(CHUNK_BYTES);
    let mut take = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    let read = shelf.read(chunk.range(), &mut take).await;
    if let Err(error) = read {
        log::warn!("bytes {:?}: {error}", chunk.range());
        return None;
    }
    (bytes.len() == chunk.len as usize && checksum(&bytes) == chunk.sum).then_some(bytes)
}
