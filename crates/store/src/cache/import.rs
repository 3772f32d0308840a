//! Files that are on this machine already, kept as though they had been fetched.
//!
//! No server has said that it has the same file. A part of one must not stay: the rest would come from the server, and might be another
//! version's, which no tag tells apart. So an import notes with the shelf which bytes it will bring, before the first of
//! them, and takes the note away when all are there. Who finds such a note while nobody imports discards these bytes.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::keeper::{Keeper, MOST_PENDING, Store};
use super::{Claim, Home, Identity, Kept, checksum};
use crate::source::{give, read_vec};
use crate::{Error, Source};

/// What is brought before anybody waits for the shelf.
const STEP: u64 = 8 << 20;

/// What the note is called. It is pairs of u64, little endian: the first byte and the end of each range that an import fills. An empty
/// one is none.
pub(crate) const NOTE: &str = "import";

/// All files of a home, for each location the oldest version first. What imports have left that did not come to their end is discarded;
/// those that are importing still are under way.
///
/// # Errors
/// What the home reports.
pub async fn list(home: &dyn Home) -> Result<Vec<Kept>, Error> {
    let list = home.list().await?;
    let mut is_old = false;
    for Kept { identity, .. } in list.iter().filter(|kept| kept.is_importing) {
        match discard(home, identity).await {
            Ok(()) => is_old = true,
            Err(error) => log::info!("{error}"),
        }
    }
    if is_old { home.list().await } else { Ok(list) }
}

/// Discards what an import has brought, unless it is under way or has come to its end meanwhile.
async fn discard(home: &dyn Home, identity: &Identity) -> Result<(), Error> {
    let shelf = home.open(identity).await?;
    let _alone = shelf.import_claim().await?;
    let note = shelf.note(NOTE).await?.unwrap_or_default();
    let (numbers, _) = note.as_chunks::<8>();
    let number = |i: usize| u64::from_le_bytes(numbers[i]);
    // Nothing was kept before.
    if numbers.len() == 2 && (number(0), number(1)) == (0, identity.size) {
        return home.remove(identity).await;
    }
    for i in 0..numbers.len() / 2 {
        shelf.forget(number(2 * i)..number(2 * i + 1)).await?;
    }
    shelf.set_note(NOTE, &[]).await
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
    list(home).await?;
    let shelf = home.open(identity).await?;
    let alone = shelf.import_claim().await?;
    let store = Store::new(shelf);
    store.learn().await?;
    let mut note = Vec::new();
    for gap in store.index.borrow().gaps(&(0..size)) {
        note.extend_from_slice(&gap.start.to_le_bytes());
        note.extend_from_slice(&gap.end.to_le_bytes());
    }
    store.shelf.set_note(NOTE, &note).await?;
    let brought = bring(home, identity, &store, source, alone, on_progress).await;
    if brought.is_ok() {
        return store.shelf.set_note(NOTE, &[]).await;
    }
    store.settle(0).await;
    // If it cannot be discarded now, it will be by who looks next.
    let _ = list(home).await;
    brought
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
    loop {
        store.settle(if at < size { MOST_PENDING } else { 0 }).await;
        if let Some(problem) = store.take_problem() {
            return Err(Rc::into_inner(problem).unwrap_or(Error::Write { location: home.name(), cause: "the write failed".to_owned() }));
        }
        if at == size {
            break;
        }
        let (kept, next) = {
            let index = store.index.borrow();
            (index.at(at), index.next_from(at))
        };
        if let Some(chunk) = kept {
            let got = checksum(&read_vec(source, chunk.range()).await?);
            if got != chunk.sum {
                let (expected, got) = (chunk.sum.to_string(), got.to_string());
                let what = "the checksum of bytes that are kept already";
                return Err(Error::Unlike { location: location.to_owned(), what, expected, got });
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
    }
    // Where there are no locks, somebody may have discarded some of it.
    store.learn().await?;
    let kept = store.index.borrow().bytes();
    if kept == size { Ok(()) } else { Err(Error::Incomplete { location: identity.location.clone(), kept, size }) }
}
