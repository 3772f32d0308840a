//! Files that are on this machine already, kept as though they had been fetched.
//!
//! No server has said that it has the same file. A part of one must not stay: the rest would come from the server, and might be another
//! version's, which no tag tells apart. So an import notes with the shelf which bytes it will bring, before the first of
//! them, and takes the note away when all are there. Who finds such a note while nobody imports discards these bytes.

use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use super::keeper::{Keeper, MOST_PENDING, Store};
use super::{Claim, Home, Identity, Kept, Shelf, checksum};
use crate::source::{give, read_vec};
use crate::{Error, Source};

/// What is brought before anybody waits for the shelf.
const STEP: u64 = 8 << 20;

/// What the note is called. It is pairs of u64, little endian: the first byte and the end of each range that an import fills. An empty
/// one is none.
pub(crate) const NOTE: &str = "import";

/// All files of a home, for each location the oldest version first. What imports have left that did not come to their end is discarded.
///
/// # Errors
/// What the home reports.
pub async fn list(home: &dyn Home) -> Result<Vec<Kept>, Error> {
    let list = home.list().await?;
    let mut is_old = false;
    for kept in list.iter().filter(|kept| kept.is_importing) {
        let discarded = async { discard(home, &kept.identity, &*home.open(&kept.identity).await?).await };
        match discarded.await {
            Ok(()) => is_old = true,
            Err(error) => log::info!("{error}"),
        }
    }
    if is_old { home.list().await } else { Ok(list) }
}

/// The shelf of a file, without what an import has left that did not come to its end.
///
/// # Errors
/// [`Error::Busy`] while somebody imports; what the home reports.
pub(super) async fn open(home: &dyn Home, identity: &Identity) -> Result<Rc<dyn Shelf>, Error> {
    let shelf = home.open(identity).await?;
    if noted(&*shelf).await?.is_none() {
        return Ok(shelf);
    }
    discard(home, identity, &*shelf).await?;
    drop(shelf);
    home.open(identity).await
}

/// Keeps all of `source` as the file `identity`, as though it had been fetched. `on_progress` is given the bytes done and may break. If
/// it does not come to its end, what it has brought is discarded, and what was kept before stays.
///
/// # Errors
/// [`Error::Changed`] if the sizes differ; [`Error::Unlike`] if bytes that are kept already are others; [`Error::Busy`] while somebody
/// else imports; what the source or the home reports; [`Error::Full`]; [`Error::Cancelled`].
pub async fn import(
    home: &dyn Home,
    identity: &Identity,
    source: &dyn Source,
    on_progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let size = source.size().await?;
    if size != identity.size {
        let (expected, got) = (identity.size.to_string(), size.to_string());
        return Err(Error::Changed { url: identity.location.clone(), what: "the size", expected, got });
    }
    let shelf = open(home, identity).await?;
    let alone = shelf.import_claim().await?;
    let store = Store::new(shelf);
    store.learn().await?;
    let gaps = store.index.borrow().gaps(&(0..size));
    if !gaps.is_empty() {
        let note: Vec<u8> = gaps.iter().flat_map(|gap| [gap.start, gap.end]).flat_map(u64::to_le_bytes).collect();
        store.shelf.set_note(NOTE, &note).await?;
    }
    let brought = bring(home, identity, &store, source, alone, on_progress).await;
    let settled = match &brought {
        _ if gaps.is_empty() => Ok(()),
        Ok(()) => store.shelf.set_note(NOTE, &[]).await,
        Err(_) => {
            store.settle(0).await;
            undo(home, identity, &*store.shelf, &gaps).await
        }
    };
    brought.and(settled)
}

/// Brings what is missing, and holds the rest against what is kept.
async fn bring(
    home: &dyn Home,
    identity: &Identity,
    store: &Rc<Store>,
    source: &dyn Source,
    alone: Option<Claim>,
    on_progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let (location, size) = (source.location(), identity.size);
    let mut at = 0;
    while at < size {
        let (kept, next) = {
            let index = store.index.borrow();
            (index.at(at), index.next_from(at))
        };
        if let Some(chunk) = kept {
            let got = checksum(&read_vec(source, chunk.range()).await?);
            if got != chunk.sum {
                let (expected, got) = (format!("{:016x}", chunk.sum), format!("{got:016x}"));
                return Err(Error::Unlike {
                    location: location.to_owned(),
                    what: "the checksum of bytes that are kept already",
                    expected,
                    got,
                });
            }
            at = chunk.range().end;
            give(location, &mut |_| on_progress(at), &[])?;
            continue;
        }
        let range = at..next.unwrap_or(size).min(at + STEP);
        // The writes hold it too: until the last of them is done, nobody takes the import for one that has ended.
        let mut keeper = Keeper::new(store, at, alone.clone());
        let mut take = |piece: &[u8]| {
            keeper.push(piece);
            at += piece.len() as u64;
            on_progress(at)
        };
        source.read(range, &mut take).await?;
        drop(keeper);
        written(home, store, MOST_PENDING).await?;
    }
    written(home, store, 0).await?;
    // Where there are no locks, somebody may have discarded some of it.
    store.learn().await?;
    let kept = store.index.borrow().bytes();
    if kept == size { Ok(()) } else { Err(Error::Incomplete { location: identity.location.clone(), kept, size }) }
}

/// Waits until at most `bytes` are on their way to the shelf.
async fn written(home: &dyn Home, store: &Store, bytes: u64) -> Result<(), Error> {
    store.settle(bytes).await;
    match store.take_problem() {
        Some(problem) => {
            Err(Rc::into_inner(problem).unwrap_or(Error::Write { location: home.name(), cause: "the write failed".to_owned() }))
        }
        None => Ok(()),
    }
}

/// Which ranges an import fills that has not come to its end.
async fn noted(shelf: &dyn Shelf) -> Result<Option<Vec<Range<u64>>>, Error> {
    let note = shelf.note(NOTE).await?.unwrap_or_default();
    let (pairs, _) = note.as_chunks::<16>();
    let range = |pair: &[u8; 16]| {
        let (numbers, _) = pair.as_chunks::<8>();
        u64::from_le_bytes(numbers[0])..u64::from_le_bytes(numbers[1])
    };
    Ok((!pairs.is_empty()).then(|| pairs.iter().map(range).collect()))
}

/// Discards what an import has left, unless it goes on or has come to its end meanwhile.
async fn discard(home: &dyn Home, identity: &Identity, shelf: &dyn Shelf) -> Result<(), Error> {
    let _alone = shelf.import_claim().await?;
    match noted(shelf).await? {
        Some(gaps) => undo(home, identity, shelf, &gaps).await,
        None => Ok(()),
    }
}

async fn undo(home: &dyn Home, identity: &Identity, shelf: &dyn Shelf, gaps: &[Range<u64>]) -> Result<(), Error> {
    log::info!("{}: discarding an import that did not come to its end", identity.location);
    // Nothing was kept before.
    if matches!(gaps, [all] if *all == (0..identity.size)) {
        return home.remove(identity).await;
    }
    for gap in gaps {
        shelf.forget(gap.clone()).await?;
    }
    shelf.set_note(NOTE, &[]).await
}
