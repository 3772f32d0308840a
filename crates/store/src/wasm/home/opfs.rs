//! The browser's private files: a folder `quire` with a file for each version of a file, named by its number in the catalogue.
//!
//! Extents are appended as they come, so that a file is as large as what is kept of it: quotas count its length, not its
//! blocks. Where the browser knows `readwrite-unsafe`, every tab has a handle; they append one after another, under a lock.
//! Elsewhere the first tab has the only one, and the others read through `getFile` and keep what they fetch as Blobs.

use std::cell::Cell;
use std::time::Duration;

use futures_util::lock::Mutex;
use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions,
    FileSystemReadWriteOptions, FileSystemSyncAccessHandle, StorageManager,
};
use web_time::Instant;

use crate::platform::sleep;

#[wasm_bindgen]
extern "C" {
    /// `FileSystemFileHandle`, with the argument of `createSyncAccessHandle`.
    #[wasm_bindgen(extends = FileSystemFileHandle)]
    #[derive(Debug)]
    type Shared;

    #[wasm_bindgen(method, catch, js_name = createSyncAccessHandle)]
    fn create_sync_access_handle(this: &Shared, options: &Object) -> Result<Promise, JsValue>;
}

const FOLDER: &str = "quire";
/// How often a handle that another tab holds is asked for.
const AGAIN: Duration = Duration::from_secs(1);
/// A file that grows meanwhile may refuse to be read; it is then taken anew, so many times.
const TRIES: u32 = 5;

#[derive(Debug, Clone)]
pub(super) struct Folder(FileSystemDirectoryHandle);

impl Folder {
    pub(super) async fn open() -> Result<Self, JsValue> {
        let storage = storage().ok_or("this page has no storage of its own")?;
        // Not there in older browsers, nor in some private windows.
        let get: Function =
            Reflect::get(&storage, &"getDirectory".into())?.dyn_into().map_err(|_| "this browser offers no private files")?;
        let root: FileSystemDirectoryHandle = JsFuture::from(get.call0(&storage)?.dyn_into::<Promise>()?).await?.dyn_into()?;
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        Ok(Self(JsFuture::from(root.get_directory_handle_with_options(FOLDER, &options)).await?.dyn_into()?))
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, JsValue> {
        let keys = self.0.keys();
        let mut names = Vec::new();
        loop {
            let next = JsFuture::from(keys.next()?).await?;
            if Reflect::get(&next, &"done".into())?.is_truthy() {
                return Ok(names);
            }
            names.extend(Reflect::get(&next, &"value".into())?.as_string());
        }
    }

    /// Removes a file; where a tab holds it, it is at least made empty, if that can be.
    pub(super) async fn remove(&self, name: &str) -> Result<(), JsValue> {
        let Err(refused) = JsFuture::from(self.0.remove_entry(name)).await else {
            return Ok(());
        };
        if super::idb::name_of(&refused) == "NotFoundError" {
            return Ok(());
        }
        let file = self.file(name).await?;
        let handle = create(&file).await?;
        let emptied = handle.truncate_with_u32(0).and_then(|()| handle.flush());
        handle.close();
        emptied
    }

    async fn file(&self, name: &str) -> Result<FileSystemFileHandle, JsValue> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        JsFuture::from(self.0.get_file_handle_with_options(name, &options)).await?.dyn_into()
    }
}

pub(super) fn storage() -> Option<StorageManager> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
    Reflect::get(&navigator, &"storage".into()).ok()?.dyn_into().ok()
}

async fn create(file: &FileSystemFileHandle) -> Result<FileSystemSyncAccessHandle, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"mode".into(), &"readwrite-unsafe".into())?;
    JsFuture::from(file.unchecked_ref::<Shared>().create_sync_access_handle(&options)?).await?.dyn_into()
}

/// One file, with the handle as soon as it can be had.
#[derive(Debug)]
pub(super) struct PrivateFile {
    file: FileSystemFileHandle,
    handle: Mutex<Option<FileSystemSyncAccessHandle>>,
    asked: Cell<Option<Instant>>,
}

impl PrivateFile {
    pub(super) async fn open(folder: &Folder, name: &str) -> Result<Self, JsValue> {
        Ok(Self { file: folder.file(name).await?, handle: Mutex::default(), asked: Cell::new(None) })
    }

    /// The handle, unless another tab holds it.
    pub(super) async fn handle(&self) -> Option<FileSystemSyncAccessHandle> {
        let mut handle = self.handle.lock().await;
        if handle.is_none() && self.asked.get().is_none_or(|asked| asked.elapsed() >= AGAIN) {
            self.asked.set(Some(Instant::now()));
            *handle = create(&self.file).await.ok();
        }
        handle.clone()
    }

    /// `len` bytes at `at`, where no handle can be had.
    pub(super) async fn slice(&self, at: u64, len: u64) -> Result<Uint8Array, JsValue> {
        let mut tries = 1;
        loop {
            let refused = match self.slice_once(at, len).await {
                Ok(bytes) if u64::from(bytes.length()) == len => return Ok(bytes),
                Ok(bytes) => JsValue::from_str(&format!("{} bytes of {len} came", bytes.length())),
                Err(refused) => refused,
            };
            if tries == TRIES {
                return Err(refused);
            }
            sleep(Duration::from_millis(20 << tries)).await;
            tries += 1;
        }
    }

    async fn slice_once(&self, at: u64, len: u64) -> Result<Uint8Array, JsValue> {
        let file: Blob = JsFuture::from(self.file.get_file()).await?.dyn_into()?;
        let part = file.slice_with_f64_and_f64(at as f64, (at + len) as f64)?;
        Ok(Uint8Array::new(JsFuture::from(part.array_buffer()).await?.unchecked_ref::<ArrayBuffer>()))
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.get_mut().take() {
            handle.close();
        }
    }
}

/// Fills `window` from `at`.
pub(super) fn read_at(handle: &FileSystemSyncAccessHandle, at: u64, window: &mut [u8]) -> Result<(), JsValue> {
    let got = handle.read_with_u8_array_and_options(window, &place(at))?;
    if got == window.len() as f64 { Ok(()) } else { Err(JsValue::from_str(&format!("{got} bytes of {} came", window.len()))) }
}

/// Writes `pieces` (each a `Uint8Array`) one after another from `at`; they are not safe before a flush.
pub(super) fn write_at(handle: &FileSystemSyncAccessHandle, mut at: u64, pieces: &Array) -> Result<(), JsValue> {
    for piece in pieces.iter() {
        let piece: Uint8Array = piece.unchecked_into();
        let len = f64::from(piece.length());
        let written = handle.write_with_js_u8_array_and_options(&piece, &place(at))?;
        // Some browsers write what fits and say so, instead of throwing.
        if written != len {
            return Err(web_sys::DomException::new_with_message_and_name("only a part could be written", "QuotaExceededError")?.into());
        }
        at += written as u64;
    }
    Ok(())
}

fn place(at: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at(at as f64);
    options
}
