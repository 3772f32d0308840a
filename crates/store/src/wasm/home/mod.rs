//! The browser's storage as a home: a catalogue in IndexedDB, bytes there as Blobs or in the browser's private files (OPFS).
//!
//! Which of the two is taken for what comes from now on is chosen when the home is opened. Each extent says where it lies, so
//! what was kept in the other place is found as well.

mod catalogue;
mod choose;
mod idb;
mod locks;
mod opfs;
mod places;
mod quota;
mod shelf;
mod writer;

use std::rc::Rc;

use crate::cache::{Home, Identity, Kept, Shelf, import};
use crate::platform::words;
use crate::{Error, KnownSum, LocalFuture};
use catalogue::Catalogue;
use opfs::{Folder, PrivateFile};
use places::Places;
use shelf::BrowserShelf;

pub use choose::{Measured, Place};
pub use quota::{Quota, quota};

/// As a person would name it.
const NAME: &str = "the browser's storage";
/// What an entry of the catalogue takes, about.
const ENTRY_BYTES: u64 = 256;

/// Keeps files in the storage of the page's origin.
#[derive(Debug)]
pub struct BrowserHome {
    catalogue: Rc<Catalogue>,
    folder: Option<Folder>,
    place: Place,
    measured: Measured,
}

impl BrowserHome {
    /// Opens the storage; `None` takes the place that reads faster, which is measured once.
    ///
    /// # Errors
    /// [`Error::Open`] if the browser offers no such place, as in some private windows; [`Error::Format`] if a newer
    /// program has been here; [`Error::Full`].
    pub async fn open(place: Option<Place>) -> Result<Self, Error> {
        let catalogue = Rc::new(Catalogue::open().await?);
        let folder = Folder::open().await;
        let cause = folder.as_ref().err().map(words);
        let folder = folder.ok();
        let measured = choose::measured(&catalogue, folder.as_ref()).await?;
        let refused = |what: &str| Error::Open { location: NAME.to_owned(), cause: what.to_owned() };
        let place = match place.or_else(|| measured.best()) {
            Some(Place::Opfs) if measured.opfs.is_none() => {
                return Err(refused(&cause.unwrap_or_else(|| "private files cannot be written".to_owned())));
            }
            Some(Place::IndexedDb) if measured.indexed_db.is_none() => return Err(refused("IndexedDB keeps no Blobs here")),
            Some(place) => place,
            None => return Err(refused("neither IndexedDB nor private files keep bytes here; is this a private window?")),
        };
        let home = Self { catalogue, folder, place, measured };
        home.sweep().await;
        Ok(home)
    }

    /// Where what comes is kept.
    pub fn place(&self) -> Place {
        self.place
    }

    pub fn measured(&self) -> Measured {
        self.measured
    }

    /// Removes private files that no catalogue speaks of: a tab that held them, or died, has left them.
    async fn sweep(&self) {
        let Some(folder) = &self.folder else {
            return;
        };
        // Names first: a file is entered before it is made.
        let Ok(names) = folder.names().await else {
            return;
        };
        let Ok(files) = self.catalogue.files().await else {
            return;
        };
        for name in names {
            let is_known = files.iter().any(|(id, _)| id.to_string() == name) || name == choose::PROBE;
            if !is_known && let Err(thrown) = folder.remove(&name).await {
                log::info!("{NAME}: {}", words(&thrown));
            }
        }
    }

    fn fail(thrown: &wasm_bindgen::JsValue) -> Error {
        Error::Open { location: NAME.to_owned(), cause: words(thrown) }
    }
}

/// There was no room for `needed` bytes. Some browsers report more room than they have; that is not repeated.
async fn full(needed: u64) -> Error {
    let free = quota().await.map(|quota| quota.free_bytes()).filter(|free| *free <= needed);
    Error::Full { location: NAME.to_owned(), needed, free }
}

impl Home for BrowserHome {
    fn name(&self) -> String {
        self.place.name().to_owned()
    }

    fn list(&self) -> LocalFuture<'_, Result<Vec<Kept>, Error>> {
        Box::pin(async {
            let mut list = Vec::new();
            for (id, identity) in self.catalogue.files().await.map_err(|e| Self::fail(&e))? {
                let rows = self.catalogue.rows(id, None).await.map_err(|e| Self::fail(&e))?;
                let mut places = Places::default();
                rows.iter().flatten().for_each(|row| _ = places.apply(row));
                let sum = self.catalogue.note(id, KnownSum::NOTE).await.map_err(|e| Self::fail(&e))?;
                let sum = sum.and_then(|note| KnownSum::from_note(&note));
                let begun = self.catalogue.note(id, import::NOTE).await.map_err(|e| Self::fail(&e))?;
                let is_importing = begun.is_some_and(|note| !note.is_empty());
                list.push(Kept { identity, bytes: places.bytes(), sum, is_importing });
            }
            Ok(list)
        })
    }

    fn open<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<Rc<dyn Shelf>, Error>> {
        Box::pin(async move {
            let id = match self.catalogue.enter(identity).await {
                Ok(id) => id,
                Err(thrown) if idb::is_full(&thrown) => return Err(full(ENTRY_BYTES).await),
                Err(thrown) => return Err(Self::fail(&thrown)),
            };
            let is_for_file = self.place == Place::Opfs;
            let is_in_file = || async {
                let rows = self.catalogue.rows(id, None).await.ok().flatten();
                rows.is_some_and(|rows| rows.iter().any(|row| matches!(row.what, catalogue::What::Kept { at: Some(_), .. })))
            };
            let file = match &self.folder {
                Some(folder) if is_for_file || is_in_file().await => match PrivateFile::open(folder, &id.to_string()).await {
                    Ok(file) => Some(file),
                    // It was not there, so nothing lies in it.
                    Err(thrown) if idb::is_full(&thrown) => None,
                    Err(thrown) => return Err(Self::fail(&thrown)),
                },
                _ => None,
            };
            let shelf = BrowserShelf::new(id, identity.location.clone(), identity.size, self.catalogue.clone(), file, is_for_file);
            Ok(Rc::new(shelf) as Rc<dyn Shelf>)
        })
    }

    fn remove<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let files = self.catalogue.files().await.map_err(|e| Self::fail(&e))?;
            let Some((id, _)) = files.into_iter().find(|(_, known)| known == identity) else {
                return Ok(());
            };
            let failed = |e| Error::Write { location: NAME.to_owned(), cause: words(&e) };
            self.catalogue.remove(id).await.map_err(failed)?;
            if let Some(folder) = &self.folder
                && let Err(thrown) = folder.remove(&id.to_string()).await
            {
                log::warn!("{NAME}: a tab that is open holds {}: {}", identity.location, words(&thrown));
            }
            Ok(())
        })
    }

    fn free_bytes(&self) -> LocalFuture<'_, Option<u64>> {
        Box::pin(async { quota().await.map(|quota| quota.free_bytes()) })
    }
}
