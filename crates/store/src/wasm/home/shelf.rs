//! One version of one file in the browser's storage.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::{StreamExt, stream};
use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, FileSystemSyncAccessHandle};

use super::catalogue::{Catalogue, Id, What};
use super::idb::{is_full, key};
use super::locks::{Claims, Lock};
use super::opfs::{PrivateFile, read_at};
use super::places::{Part, Places};
use super::writer::Job;
use super::{ENTRY_BYTES, NAME};
use crate::cache::{CHUNK_BYTES, Change, Chunk, Claim, Extent, Shelf};
use crate::platform::{copy, words};
use crate::source::give;
use crate::{Error, LocalFuture, Sink};

/// Blobs that are read at once, ahead of the one that is wanted.
const AT_ONCE: usize = 6;
/// How long the browser may take to give up the locks of a tab or a worker that has ended.
const LEAVING: Duration = Duration::from_secs(2);
/// How long a tab may take to append, before it is taken for one that stands still.
const APPENDING: Duration = Duration::from_secs(15);
/// Blobs that are remembered: a name for bytes on the disk, which saves asking the database for it.
const REMEMBERED: usize = 1024;

/// What reading and writing share.
pub(super) struct Inner {
    pub(super) id: Id,
    pub(super) location: String,
    size: u64,
    pub(super) catalogue: Rc<Catalogue>,
    /// The OPFS file, where new extents go or old ones lie.
    pub(super) file: Option<PrivateFile>,
    /// Whether new extents go there.
    pub(super) is_for_file: bool,
    pub(super) places: RefCell<Places>,
    /// Extents that nothing counts of any more; the next write removes them.
    pub(super) dead: RefCell<Vec<u64>>,
    /// Up to which row the journal has been read.
    seen: Cell<Option<f64>>,
    learning: futures_util::lock::Mutex<()>,
    news: RefCell<Vec<Change>>,
    blobs: RefCell<HashMap<u64, Blob>>,
    claims: Claims,
    pub(super) queue: RefCell<Vec<Job>>,
    pub(super) is_writing: Cell<bool>,
}

impl Inner {
    /// Reads what was added to the journal.
    pub(super) async fn learn(&self) -> Result<(), Error> {
        let _one = self.learning.lock().await;
        let rows = self.catalogue.rows(self.id, self.seen.get()).await.map_err(|e| self.cannot_read(0..self.size, &e))?;
        let Some(rows) = rows else {
            // The file was removed.
            self.places.take();
            self.news.borrow_mut().push(Change::Lost(0..self.size));
            return Ok(());
        };
        for row in rows {
            let dead = self.places.borrow_mut().apply(&row);
            self.dead.borrow_mut().extend(dead);
            self.news.borrow_mut().extend(row.what.changes());
            self.seen.set(Some(row.n));
        }
        Ok(())
    }

    fn cannot_read(&self, range: Range<u64>, thrown: &JsValue) -> Error {
        Error::Read { location: format!("{} in {NAME}", self.location), start: range.start, end: range.end, cause: words(thrown) }
    }

    /// What a write of `needed` bytes threw.
    pub(super) async fn cannot_write(&self, needed: u64, thrown: &JsValue) -> Error {
        if is_full(thrown) {
            return super::full(needed).await;
        }
        Error::Write { location: format!("{} in {NAME}", self.location), cause: words(thrown) }
    }

    /// Alone with the end of the OPFS file, among all tabs; `None` if another one does not leave it.
    pub(super) async fn alone(&self) -> Option<Rc<Lock>> {
        let lock = Lock::ask(&format!("quire {} end", self.id));
        lock.granted_within(APPENDING).await.then_some(lock)
    }

    async fn blob(&self, n: u64) -> Result<Blob, JsValue> {
        if let Some(blob) = self.blobs.borrow().get(&n) {
            return Ok(blob.clone());
        }
        let blob = self.catalogue.blob(self.id, n as f64).await?;
        let mut blobs = self.blobs.borrow_mut();
        if blobs.len() == REMEMBERED {
            blobs.clear();
        }
        blobs.insert(n, blob.clone());
        Ok(blob)
    }

    async fn open(&self, part: &Part) -> Result<Bytes, JsValue> {
        let from = part.range.start - part.extent.start;
        let len = part.range.end - part.range.start;
        let Some(at) = part.extent.at else {
            let slice = self.blob(part.n).await?.slice_with_f64_and_f64(from as f64, (from + len) as f64)?;
            let buffer = JsFuture::from(slice.array_buffer()).await.inspect_err(|_| drop(self.blobs.borrow_mut().remove(&part.n)))?;
            return Ok(Bytes::Copied(Uint8Array::new(buffer.unchecked_ref::<ArrayBuffer>())));
        };
        let file = self.file.as_ref().ok_or("private files cannot be had")?;
        match file.handle().await {
            Some(handle) => Ok(Bytes::InFile(handle, at + from)),
            None => file.slice(at + from, len).await.map(Bytes::Copied),
        }
    }
}

/// The bytes of a part.
enum Bytes {
    Copied(Uint8Array),
    /// Where in the OPFS file; they are read without waiting.
    InFile(FileSystemSyncAccessHandle, u64),
}

impl Bytes {
    /// Fills `window` from byte `at` of the part.
    fn read(&self, at: u64, window: &mut [u8]) -> Result<(), JsValue> {
        match self {
            Self::Copied(bytes) if copy(bytes, at as u32, window) as usize == window.len() => Ok(()),
            Self::Copied(_) => Err(JsValue::from_str("some of it is missing")),
            Self::InFile(handle, start) => read_at(handle, start + at, window),
        }
    }
}

pub(super) struct BrowserShelf(Rc<Inner>);

impl BrowserShelf {
    pub(super) fn new(id: Id, location: String, size: u64, catalogue: Rc<Catalogue>, file: Option<PrivateFile>, is_for_file: bool) -> Self {
        Self(Rc::new(Inner {
            id,
            location,
            size,
            catalogue,
            file,
            is_for_file,
            places: RefCell::default(),
            dead: RefCell::default(),
            seen: Cell::new(None),
            learning: futures_util::lock::Mutex::new(()),
            news: RefCell::default(),
            blobs: RefCell::default(),
            claims: Claims::new(format!("quire {id} part")),
            queue: RefCell::default(),
            is_writing: Cell::new(false),
        }))
    }
}

impl Shelf for BrowserShelf {
    fn news(&self) -> LocalFuture<'_, Result<Vec<Change>, Error>> {
        Box::pin(async {
            self.0.learn().await?;
            Ok(self.0.news.take())
        })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        let shelf = &*self.0;
        Box::pin(async move {
            let parts = shelf.places.borrow().parts(&range);
            let parts = parts.ok_or_else(|| shelf.cannot_read(range, &JsValue::from_str("not kept")))?;
            let mut opened = stream::iter(&parts).map(|part| async move { (part, shelf.open(part).await) }).buffered(AT_ONCE);
            let mut window = vec![0; CHUNK_BYTES];
            while let Some((part, bytes)) = opened.next().await {
                let bytes = bytes.map_err(|e| shelf.cannot_read(part.range.clone(), &e))?;
                let mut at = part.range.start;
                for &end in &part.ends {
                    let piece = &mut window[..(end - at) as usize];
                    bytes.read(at - part.range.start, piece).map_err(|e| shelf.cannot_read(at..end, &e))?;
                    give(&shelf.location, sink, piece)?;
                    at = end;
                }
            }
            Ok(())
        })
    }

    fn extent(&self, _: u64) -> Box<dyn Extent> {
        Box::new(Growing { shelf: self.0.clone(), pieces: Array::new(), bytes: 0 })
    }

    fn forget(&self, range: Range<u64>) -> LocalFuture<'_, Result<(), Error>> {
        let shelf = &*self.0;
        Box::pin(async move {
            let dead = std::mem::take(&mut *shelf.dead.borrow_mut());
            let dead: Vec<f64> = dead.into_iter().map(|n| n as f64).collect();
            match shelf.catalogue.append(shelf.id, &[(What::Lost(range), None)], &dead).await {
                Ok(_) => shelf.learn().await,
                Err(thrown) => Err(shelf.cannot_write(ENTRY_BYTES, &thrown).await),
            }
        })
    }

    fn claim(&self, range: Range<u64>) -> LocalFuture<'_, Result<Option<Claim>, Error>> {
        Box::pin(async move { Ok(Some(self.0.claims.claim(range).await)) })
    }

    fn import_claim(&self) -> LocalFuture<'_, Result<Option<Claim>, Error>> {
        let shelf = &*self.0;
        Box::pin(async move {
            let lock = Lock::ask(&format!("quire {} import", shelf.id));
            if lock.granted_within(LEAVING).await { Ok(Some(lock as Claim)) } else { Err(Error::Busy { location: shelf.location.clone() }) }
        })
    }

    fn note<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>, Error>> {
        let shelf = &*self.0;
        Box::pin(async move { shelf.catalogue.note(shelf.id, name).await.map_err(|e| shelf.cannot_read(0..0, &e)) })
    }

    fn set_note<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Error>> {
        let shelf = &*self.0;
        Box::pin(async move {
            let written = shelf.catalogue.put("notes", &key(shelf.id, &name.into()), &Uint8Array::from(bytes)).await;
            match written {
                Ok(()) => Ok(()),
                Err(thrown) => Err(shelf.cannot_write(bytes.len() as u64, &thrown).await),
            }
        })
    }
}

/// An extent on its way, in JavaScript's memory.
struct Growing {
    shelf: Rc<Inner>,
    pieces: Array,
    bytes: u64,
}

impl Extent for Growing {
    fn push(&mut self, piece: &[u8]) {
        self.pieces.push(&Uint8Array::from(piece));
        self.bytes += piece.len() as u64;
    }

    fn keep(self: Box<Self>, chunks: Vec<Chunk>, claim: Option<Claim>) -> LocalFuture<'static, Result<(), Error>> {
        let (done, is_done) = oneshot::channel();
        let Self { shelf, pieces, bytes } = *self;
        shelf.queue.borrow_mut().push(Job { pieces, bytes, chunks, done, _claim: claim });
        if !shelf.is_writing.replace(true) {
            wasm_bindgen_futures::spawn_local(super::writer::run(shelf));
        }
        Box::pin(async move {
            let ended = |_| Error::Write { location: NAME.to_owned(), cause: "the writer has ended".to_owned() };
            is_done.await.map_err(ended)?
        })
    }
}
