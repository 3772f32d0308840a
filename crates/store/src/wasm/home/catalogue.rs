//! What is kept of which file: the database `quire`.
//!
//! | store | key | value |
//! |---|---|---|
//! | `files` | `id`, counted up | `{ id, location, size, tag }`, one for each version of a file |
//! | `journal` | `[id, n]`, `n` counted up for each file | what happened to the file, a [`Row`] |
//! | `bytes` | `[id, n]` | a `Blob`: the extent of that row, unless it lies in a file |
//! | `notes` | `[id, name]` | `Uint8Array` |
//! | `settings` | name | what was measured, see `choose.rs` |
//!
//! A row of the journal is written in the transaction that writes its bytes, or after they are safe in their file.

use futures_util::future::try_join;
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{IdbCursorDirection, IdbDatabase, IdbObjectStoreParameters};

use super::idb::{Closed, Database, Step, Transaction, done, is_full, key, keys_of};
use crate::cache::{CHUNK_BYTES, Change, Chunk, Identity};
use crate::{Error, platform::words};

const NAME: &str = "quire";
/// What made each version of the schema from the one before; what was kept stays.
const STEPS: &[Step] = &[
    |db| {
        let counted = IdbObjectStoreParameters::new();
        counted.set_key_path(&"id".into());
        counted.set_auto_increment(true);
        db.create_object_store_with_optional_parameters("files", &counted)?;
        ["journal", "bytes", "notes"].iter().try_for_each(|store| make(db, store))
    },
    |db| make(db, "settings"),
];

fn make(db: &IdbDatabase, store: &str) -> Result<(), JsValue> {
    db.create_object_store(store).map(drop)
}

/// Of a file, its number.
pub(super) type Id = f64;

/// Bytes of a file that were written at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Of the journal; also of the bytes.
    pub(super) n: f64,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// `{ chunks, at }`: chunks that follow each other, 20 bytes each (start u64, length u32, sum u64, little endian), and where
    /// in the OPFS file they begin, unless they are a `Blob`.
    Kept { chunks: Vec<Chunk>, at: Option<u64> },
    /// `{ lost: [start, end] }`
    Lost(std::ops::Range<u64>),
}

impl What {
    pub(super) fn changes(&self) -> Vec<Change> {
        match self {
            Self::Kept { chunks, .. } => chunks.iter().map(|chunk| Change::Kept(*chunk)).collect(),
            Self::Lost(range) => vec![Change::Lost(range.clone())],
        }
    }

    fn to_js(&self) -> Result<JsValue, JsValue> {
        let row = Object::new();
        match self {
            Self::Kept { chunks, at } => {
                let mut bytes = Vec::with_capacity(chunks.len() * 20);
                for chunk in chunks {
                    bytes.extend_from_slice(&chunk.start.to_le_bytes());
                    bytes.extend_from_slice(&chunk.len.to_le_bytes());
                    bytes.extend_from_slice(&chunk.sum.to_le_bytes());
                }
                Reflect::set(&row, &"chunks".into(), &Uint8Array::from(&bytes[..]))?;
                if let Some(at) = at {
                    Reflect::set(&row, &"at".into(), &(*at as f64).into())?;
                }
            }
            Self::Lost(range) => {
                Reflect::set(&row, &"lost".into(), &Array::of2(&(range.start as f64).into(), &(range.end as f64).into()))?;
            }
        }
        Ok(row.into())
    }

    /// `None` if it is no such row.
    fn from_js(row: &JsValue) -> Option<Self> {
        let field = |name: &str| Reflect::get(row, &name.into()).ok();
        if let Some(lost) = field("lost")?.dyn_ref::<Array>() {
            return Some(Self::Lost(whole(&lost.get(0))?..whole(&lost.get(1))?));
        }
        let bytes = field("chunks")?.dyn_into::<Uint8Array>().ok()?.to_vec();
        let (records, rest) = bytes.as_chunks::<20>();
        if !rest.is_empty() || records.is_empty() {
            return None;
        }
        let mut chunks: Vec<Chunk> = Vec::with_capacity(records.len());
        for record in records {
            let (start, rest) = record.split_first_chunk::<8>()?;
            let (len, sum) = rest.split_first_chunk::<4>()?;
            let (start, len) = (u64::from_le_bytes(*start), u32::from_le_bytes(*len));
            let follows = chunks.last().is_none_or(|last| last.range().end == start);
            if !follows || len == 0 || len as usize > CHUNK_BYTES || start > (1 << 53) {
                return None;
            }
            chunks.push(Chunk { start, len, sum: u64::from_le_bytes(sum.try_into().ok()?) });
        }
        let at = field("at")?;
        Some(Self::Kept { chunks, at: if at.is_undefined() { None } else { Some(whole(&at)?) } })
    }
}

/// A number that counts bytes.
fn whole(value: &JsValue) -> Option<u64> {
    value.as_f64().filter(|value| value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(value)).map(|value| value as u64)
}

#[derive(Debug)]
pub(super) struct Catalogue {
    db: Database,
}

impl Catalogue {
    pub(super) async fn open() -> Result<Self, Error> {
        let location = super::NAME.to_owned();
        match Database::open(NAME, STEPS).await {
            Ok(db) => Ok(Self { db }),
            Err(Closed::Newer) => Err(Error::Format { location, known: STEPS.len() as u32, got: "newer".to_owned() }),
            Err(Closed::Blocked) => {
                Err(Error::Open { location, cause: "another tab with an older version of this program is open".to_owned() })
            }
            Err(Closed::Failed(thrown)) if is_full(&thrown) => Err(super::full(super::ENTRY_BYTES).await),
            Err(Closed::Failed(thrown)) => Err(Error::Open { location, cause: words(&thrown) }),
        }
    }

    /// All files, oldest first.
    pub(super) async fn files(&self) -> Result<Vec<(Id, Identity)>, JsValue> {
        let tx = self.db.read(&["files"])?;
        files_of(&tx).await
    }

    /// The number of a file, which is entered if it is not there.
    pub(super) async fn enter(&self, identity: &Identity) -> Result<Id, JsValue> {
        if let Some((id, _)) = self.files().await?.into_iter().find(|(_, known)| known == identity) {
            return Ok(id);
        }
        let tx = self.db.write(&["files"])?;
        // Another tab may just have done it.
        let known = files_of(&tx).await?.into_iter().find(|(_, known)| known == identity);
        let id = match known {
            Some((id, _)) => id,
            None => {
                let Identity { location, size, tag } = identity;
                let row = Object::new();
                Reflect::set(&row, &"location".into(), &location.into())?;
                Reflect::set(&row, &"size".into(), &(*size as f64).into())?;
                Reflect::set(&row, &"tag".into(), &tag.as_deref().map_or(JsValue::NULL, JsValue::from))?;
                done(tx.store("files")?.add(&row)?).await?.as_f64().unwrap_or_default()
            }
        };
        tx.commit().await?;
        Ok(id)
    }

    /// Removes a file and all that belongs to it.
    pub(super) async fn remove(&self, id: Id) -> Result<(), JsValue> {
        let tx = self.db.write(&["files", "journal", "bytes", "notes"])?;
        tx.store("files")?.delete(&id.into())?;
        for store in ["journal", "bytes", "notes"] {
            tx.store(store)?.delete(keys_of(id, None)?.as_ref())?;
        }
        tx.commit().await
    }

    /// The rows of a file after the `n`-th, in order; `None` if the file was removed.
    pub(super) async fn rows(&self, id: Id, after: Option<f64>) -> Result<Option<Vec<Row>>, JsValue> {
        let tx = self.db.read(&["files", "journal"])?;
        let range = keys_of(id, after)?;
        let journal = tx.store("journal")?;
        let file = tx.store("files")?.get_key(&id.into())?;
        let (keys, values) = (journal.get_all_keys_with_key(&range)?, journal.get_all_with_key(&range)?);
        let (file, (keys, values)) = try_join(done(file), try_join(done(keys), done(values))).await?;
        if file.is_undefined() {
            return Ok(None);
        }
        let (keys, values): (Array, Array) = (keys.unchecked_into(), values.unchecked_into());
        let mut rows = Vec::with_capacity(keys.length() as usize);
        for (key, value) in keys.iter().zip(values.iter()) {
            let n = key.dyn_ref::<Array>().and_then(|key| key.get(1).as_f64());
            match (n, What::from_js(&value)) {
                (Some(n), Some(what)) => rows.push(Row { n, what }),
                _ => log::warn!("{}: a row of the journal is no such row", super::NAME),
            }
        }
        Ok(Some(rows))
    }

    /// Appends to a file's journal: each entry, and its bytes unless they lie in a file. Removes the extents that are
    /// `dead`. All of it or nothing.
    ///
    /// False if the file was removed.
    pub(super) async fn append(&self, id: Id, entries: &[(What, Option<web_sys::Blob>)], dead: &[f64]) -> Result<bool, JsValue> {
        let done = self.try_append(id, entries, dead).await;
        if let Err(thrown) = &done
            && is_full(thrown)
        {
            // After this, Firefox lets the next transaction do no more than delete; let it be one of no use.
            let _ = self.delete("bytes", &key(id, &(-1.0).into())).await;
        }
        done
    }

    async fn try_append(&self, id: Id, entries: &[(What, Option<web_sys::Blob>)], dead: &[f64]) -> Result<bool, JsValue> {
        let tx = self.db.write(&["files", "journal", "bytes"])?;
        let (journal, bytes) = (tx.store("journal")?, tx.store("bytes")?);
        let file = tx.store("files")?.get_key(&id.into())?;
        let last = journal.open_key_cursor_with_range_and_direction(keys_of(id, None)?.as_ref(), IdbCursorDirection::Prev)?;
        let (file, last) = try_join(done(file), done(last)).await?;
        if file.is_undefined() {
            return Ok(false);
        }
        let last = last.dyn_ref::<web_sys::IdbCursor>().and_then(|cursor| cursor.key().ok()?.dyn_into::<Array>().ok()?.get(1).as_f64());
        let mut n = last.unwrap_or(-1.0);
        for (what, blob) in entries {
            n += 1.0;
            let key = key(id, &n.into());
            if let Some(blob) = blob {
                bytes.put_with_key(blob, &key)?;
            }
            journal.put_with_key(&what.to_js()?, &key)?;
        }
        for n in dead {
            let key = key(id, &(*n).into());
            bytes.delete(&key)?;
            journal.delete(&key)?;
        }
        tx.commit().await?;
        Ok(true)
    }

    pub(super) async fn blob(&self, id: Id, n: f64) -> Result<web_sys::Blob, JsValue> {
        self.get("bytes", &key(id, &n.into())).await?.dyn_into().map_err(|_| JsValue::from_str("its bytes are gone"))
    }

    pub(super) async fn note(&self, id: Id, name: &str) -> Result<Option<Vec<u8>>, JsValue> {
        let note = self.get("notes", &key(id, &name.into())).await?;
        Ok(note.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec))
    }

    /// A value, or `undefined`.
    pub(super) async fn get(&self, store: &str, key: &JsValue) -> Result<JsValue, JsValue> {
        let tx = self.db.read(&[store])?;
        done(tx.store(store)?.get(key)?).await
    }

    pub(super) async fn put(&self, store: &str, key: &JsValue, value: &JsValue) -> Result<(), JsValue> {
        let tx = self.db.write(&[store])?;
        tx.store(store)?.put_with_key(value, key)?;
        tx.commit().await
    }

    pub(super) async fn delete(&self, store: &str, key: &JsValue) -> Result<(), JsValue> {
        let tx = self.db.write(&[store])?;
        tx.store(store)?.delete(key)?;
        tx.commit().await
    }
}

async fn files_of(tx: &Transaction) -> Result<Vec<(Id, Identity)>, JsValue> {
    let rows: Array = done(tx.store("files")?.get_all()?).await?.unchecked_into();
    let identity = |row: JsValue| {
        let field = |name: &str| Reflect::get(&row, &name.into()).ok();
        let (location, size) = (field("location")?.as_string()?, whole(&field("size")?)?);
        Some((field("id")?.as_f64()?, Identity { location, size, tag: field("tag")?.as_string() }))
    };
    Ok(rows.iter().filter_map(identity).collect())
}
