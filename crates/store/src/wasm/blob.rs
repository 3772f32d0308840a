//! Files that a user handed to the page.

use std::ops::Range;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::{copy, words};
use crate::source::{WINDOW_BYTES, check_range, give};
use crate::{Error, LocalFuture, Sink, Source};

/// A `File` or `Blob` that the user handed to the page.
#[derive(Debug)]
pub struct BlobFile {
    name: String,
    blob: web_sys::Blob,
}

impl BlobFile {
    /// `name` is what errors call it.
    pub fn new(name: impl Into<String>, blob: web_sys::Blob) -> Self {
        Self { name: name.into(), blob }
    }

    fn size_bytes(&self) -> u64 {
        // A double that holds a whole number.
        self.blob.size() as u64
    }

    async fn slice(&self, start: u64, end: u64) -> Result<Uint8Array, JsValue> {
        let part = self.blob.slice_with_f64_and_f64(start as f64, end as f64)?;
        let buffer = JsFuture::from(part.array_buffer()).await?;
        Ok(Uint8Array::new(buffer.unchecked_ref::<ArrayBuffer>()))
    }
}

impl From<web_sys::File> for BlobFile {
    fn from(file: web_sys::File) -> Self {
        Self::new(file.name(), file.into())
    }
}

impl Source for BlobFile {
    fn location(&self) -> &str {
        &self.name
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.size_bytes()) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        /// Read from the browser at once, outside wasm memory: each slice costs a hop to another process.
        const SLICE_BYTES: u64 = 4 << 20;
        Box::pin(async move {
            check_range(&self.name, &range, self.size_bytes())?;
            let mut window = vec![0; WINDOW_BYTES];
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + SLICE_BYTES);
                let slice =
                    self.slice(start, end).await.map_err(|e| Error::Read { location: self.name.clone(), start, end, cause: words(&e) })?;
                let mut at = 0;
                while at < slice.length() {
                    let n = copy(&slice, at, &mut window);
                    give(&self.name, sink, &window[..n as usize])?;
                    at += n;
                }
                if u64::from(at) != end - start {
                    return Err(Error::Read {
                        location: self.name.clone(),
                        start,
                        end,
                        cause: format!("{at} bytes came; was the file changed on disk?"),
                    });
                }
                start = end;
            }
            Ok(())
        })
    }
}
