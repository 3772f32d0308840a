//! Which place reads faster: measured once for a browser and remembered.

use std::time::Duration;

use js_sys::{Array, ArrayBuffer, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;
use web_time::Instant;

use super::catalogue::Catalogue;
use super::idb::is_full;
use super::locks::Lock;
use super::opfs::{Folder, PrivateFile, read_at, write_at};
use crate::Error;
use crate::cache::CHUNK_BYTES;
use crate::platform::{copy, random, words};

/// Where bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// As Blobs in IndexedDB.
    IndexedDb,
    /// In the browser's private files.
    Opfs,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Self::IndexedDb => "IndexedDB",
            Self::Opfs => "OPFS",
        }
    }
}

/// Bytes per second of reading; `None` where nothing could be kept and read again.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    pub indexed_db: Option<f64>,
    pub opfs: Option<f64>,
}

impl Measured {
    pub(super) fn best(&self) -> Option<Place> {
        match (self.indexed_db, self.opfs) {
            (Some(indexed_db), Some(opfs)) => Some(if opfs > indexed_db { Place::Opfs } else { Place::IndexedDb }),
            (Some(_), None) => Some(Place::IndexedDb),
            (None, opfs) => opfs.map(|_| Place::Opfs),
        }
    }

    fn to_js(self) -> JsValue {
        let row = Object::new();
        for (name, rate) in [("indexeddb", self.indexed_db), ("opfs", self.opfs)] {
            // Setting a property of a fresh object cannot fail.
            let _ = Reflect::set(&row, &name.into(), &rate.map_or(JsValue::NULL, JsValue::from));
        }
        row.into()
    }

    fn from_js(row: &JsValue) -> Option<Self> {
        let rate = |name: &str| Reflect::get(row, &name.into()).ok().and_then(|rate| rate.as_f64());
        row.is_object().then(|| Self { indexed_db: rate("indexeddb"), opfs: rate("opfs") })
    }
}

/// The name of what is written for the purpose, in both places.
pub(super) const PROBE: &str = "probe";
const SETTING: &str = "measured";
/// Half an expert's slice: what a token waits for.
const BYTES: u32 = 2 << 20;
/// Of each place: it is read until then, and once at least.
const TIME: Duration = Duration::from_millis(100);

/// What is remembered, or measured now.
///
/// # Errors
/// [`Error::Full`] if there is no room to measure in.
pub(super) async fn measured(catalogue: &Catalogue, folder: Option<&Folder>) -> Result<Measured, Error> {
    let known = async || catalogue.get("settings", &SETTING.into()).await.ok().and_then(|row| Measured::from_js(&row));
    if let Some(known) = known().await {
        return Ok(known);
    }
    // Two tabs would be in each other's way.
    let lock = Lock::ask("quire measure");
    lock.granted().await;
    if let Some(known) = known().await {
        return Ok(known);
    }
    let blobs = of_blobs(catalogue).await;
    let files = match folder {
        Some(folder) => of_files(folder).await,
        None => Err(JsValue::from_str("there is no folder")),
    };
    let is_full = [&blobs, &files].into_iter().filter_map(|rate| rate.as_ref().err()).any(is_full);
    let rate = |name: &str, rate: Result<f64, JsValue>| rate.inspect_err(|e| log::warn!("{name} keeps nothing here: {}", words(e))).ok();
    let measured = Measured { indexed_db: rate("IndexedDB", blobs), opfs: rate("OPFS", files) };
    if is_full && measured.best().is_none() {
        return Err(super::full(u64::from(BYTES)).await);
    }
    // A full disk says nothing of the place.
    if !is_full && let Err(thrown) = catalogue.put("settings", &SETTING.into(), &measured.to_js()).await {
        log::warn!("{}: {}", super::NAME, words(&thrown));
    }
    Ok(measured)
}

/// `Uint8Array`s of [`BYTES`] together, of which no two runs are alike.
fn pieces() -> Array {
    let mut bytes = vec![0; CHUNK_BYTES];
    let seed = random().to_bits().to_le_bytes();
    bytes.chunks_mut(seed.len()).enumerate().for_each(|(i, part)| {
        part.copy_from_slice(&seed[..part.len()]);
        part[0] ^= i as u8;
    });
    (0..BYTES as usize / CHUNK_BYTES).map(|_| Uint8Array::from(&bytes[..])).collect()
}

async fn of_blobs(catalogue: &Catalogue) -> Result<f64, JsValue> {
    // Numbers of files begin at 1.
    let key = super::idb::key(0.0, &PROBE.into());
    catalogue.put("bytes", &key, Blob::new_with_u8_array_sequence(&pieces())?.as_ref()).await?;
    let rate = async {
        let mut window = vec![0; CHUNK_BYTES];
        let (begin, mut read) = (Instant::now(), 0);
        while read == 0 || begin.elapsed() < TIME {
            let blob: Blob = catalogue.get("bytes", &key).await?.dyn_into()?;
            let bytes = Uint8Array::new(JsFuture::from(blob.array_buffer()).await?.unchecked_ref::<ArrayBuffer>());
            if bytes.length() != BYTES {
                return Err(JsValue::from_str("not all of it came back"));
            }
            (0..BYTES).step_by(CHUNK_BYTES).for_each(|at| _ = copy(&bytes, at, &mut window));
            read += u64::from(BYTES);
        }
        Ok(read as f64 / begin.elapsed().as_secs_f64())
    };
    let rate = rate.await;
    let _ = catalogue.delete("bytes", &key).await;
    rate
}

async fn of_files(folder: &Folder) -> Result<f64, JsValue> {
    let file = PrivateFile::open(folder, PROBE).await?;
    let rate = async {
        let handle = file.handle().await.ok_or("no file can be opened for writing")?;
        write_at(&handle, 0, &pieces())?;
        handle.flush()?;
        let mut window = vec![0; CHUNK_BYTES];
        let (begin, mut read) = (Instant::now(), 0);
        while read == 0 || begin.elapsed() < TIME {
            for at in (0..u64::from(BYTES)).step_by(CHUNK_BYTES) {
                read_at(&handle, at, &mut window)?;
            }
            read += u64::from(BYTES);
        }
        Ok(read as f64 / begin.elapsed().as_secs_f64())
    };
    let rate = rate.await;
    drop(file);
    let _ = folder.remove(PROBE).await;
    rate
}
