//! Writes what waits, all of it at once: safe bytes first, then the journal that speaks of them.

use std::rc::Rc;

use futures_channel::oneshot;
use js_sys::Array;
use wasm_bindgen::JsValue;
use web_sys::{Blob, FileSystemSyncAccessHandle};

use super::catalogue::What;
use super::opfs::write_at;
use super::shelf::Inner;
use crate::Error;
use crate::cache::{Chunk, Claim};

/// One extent.
pub(super) struct Job {
    /// `Uint8Array`s
    pub(super) pieces: Array,
    pub(super) bytes: u64,
    pub(super) chunks: Vec<Chunk>,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
    /// Until the job is done.
    pub(super) _claim: Option<Claim>,
}

/// Works until nothing waits.
pub(super) async fn run(shelf: Rc<Inner>) {
    loop {
        let batch = shelf.queue.take();
        if batch.is_empty() {
            shelf.is_writing.set(false);
            return;
        }
        match write(&shelf, &batch).await {
            // What does not fit together may fit in part.
            Err(Error::Full { .. }) if batch.len() > 1 => {
                for job in batch {
                    let done = write(&shelf, std::slice::from_ref(&job)).await;
                    let _ = job.done.send(done);
                }
            }
            Err(error) => {
                let words = error.to_string();
                let mut first = Some(error);
                for job in batch {
                    let again = || Error::Write { location: shelf.location.clone(), cause: words.clone() };
                    let _ = job.done.send(Err(first.take().unwrap_or_else(again)));
                }
            }
            Ok(()) => batch.into_iter().for_each(|job| drop(job.done.send(Ok(())))),
        }
    }
}

/// Writes all of `batch` or nothing.
async fn write(shelf: &Inner, batch: &[Job]) -> Result<(), Error> {
    let handle = match &shelf.file {
        Some(file) if shelf.is_for_file => file.handle().await,
        _ => None,
    };
    let alone = if handle.is_some() { shelf.alone().await } else { None };
    let needed = batch.iter().map(|job| job.bytes).sum();
    let written = match (handle, alone) {
        (Some(handle), Some(_alone)) => write_to_file(shelf, &handle, batch).await,
        // Blobs are in nobody's way.
        _ => write_blobs(shelf, batch).await,
    };
    match written {
        Ok(true) => shelf.learn().await,
        Ok(false) => Err(Error::Write { location: shelf.location.clone(), cause: "it was removed from the cache meanwhile".to_owned() }),
        Err(Thrown::Error(error)) => Err(error),
        Err(Thrown::Js(thrown)) => Err(shelf.cannot_write(needed, &thrown).await),
    }
}

enum Thrown {
    Error(Error),
    Js(JsValue),
}

impl From<JsValue> for Thrown {
    fn from(thrown: JsValue) -> Self {
        Self::Js(thrown)
    }
}

impl From<Error> for Thrown {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// False if the file was removed from the cache.
async fn write_blobs(shelf: &Inner, batch: &[Job]) -> Result<bool, Thrown> {
    let mut entries = Vec::with_capacity(batch.len());
    for job in batch {
        let blob = Blob::new_with_u8_array_sequence(&job.pieces)?;
        entries.push((What::Kept { chunks: job.chunks.clone(), at: None }, Some(blob)));
    }
    append(shelf, &entries).await
}

/// Only for who is alone with the end of the file.
async fn write_to_file(shelf: &Inner, handle: &FileSystemSyncAccessHandle, batch: &[Job]) -> Result<bool, Thrown> {
    // Where there is room depends on what other tabs have written.
    shelf.learn().await?;
    let total: u64 = batch.iter().map(|job| job.bytes).sum();
    let (mut at, end) = {
        let places = shelf.places.borrow();
        (places.room_for(total), places.file_end())
    };
    let mut entries = Vec::with_capacity(batch.len());
    for job in batch {
        if let Err(thrown) = write_at(handle, at, &job.pieces) {
            // Gives back what nothing will speak of.
            let _ = handle.truncate_with_f64(end as f64);
            return Err(thrown.into());
        }
        entries.push((What::Kept { chunks: job.chunks.clone(), at: Some(at) }, None));
        at += job.bytes;
    }
    handle.flush()?;
    append(shelf, &entries).await
}

async fn append(shelf: &Inner, entries: &[(What, Option<Blob>)]) -> Result<bool, Thrown> {
    let dead: Vec<f64> = shelf.dead.borrow().iter().map(|&n| n as f64).collect();
    let is_there = shelf.catalogue.append(shelf.id, entries, &dead).await?;
    shelf.dead.borrow_mut().retain(|n| !dead.contains(&(*n as f64)));
    Ok(is_there)
}
