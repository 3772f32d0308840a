//! Files and HTTP in a browser: `fetch` with a streamed body, and `Blob` slices.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use gloo_timers::callback::Timeout;
use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader};

use crate::http::{Ask, Headers};
use crate::source::{WINDOW_BYTES, check_range, give};
use crate::{Cause, Error, Http, LocalFuture, Retry, Sink, Source};

/// Opens a URL; a relative one is resolved against the worker's own.
///
/// # Errors
/// None here: a URL is not asked before the first read.
pub fn open(location: &str) -> Result<Rc<dyn Source>, Error> {
    Ok(Rc::new(Http::new(location)))
}

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

/// Copies from `bytes` at `at` into `window`; returns how many.
fn copy(bytes: &Uint8Array, at: u32, window: &mut [u8]) -> u32 {
    let n = (bytes.length() - at).min(u32::try_from(window.len()).unwrap_or(u32::MAX));
    bytes.subarray(at, at + n).copy_to(&mut window[..n as usize]);
    n
}

/// What a thrown value says.
fn words(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => {
            Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
        }
    }
}

/// Sends requests; the browser keeps the connections.
#[derive(Debug)]
pub(crate) struct Agent {
    stall: Duration,
}

impl Agent {
    pub(crate) fn new(retry: &Retry) -> Self {
        Self { stall: retry.stall }
    }

    pub(crate) async fn send(&self, url: &str, ask: &Ask) -> Result<Answer, Cause> {
        let watch = Watch::new(self.stall).map_err(|e| Cause::Connection(words(&e)))?;
        let request = match ask {
            // A single closed range needs no CORS preflight.
            Ask::Range(range) => gloo_net::http::Request::get(url).header("Range", &format!("bytes={}-{}", range.start, range.end - 1)),
            Ask::Head => gloo_net::http::RequestBuilder::new(url).method(gloo_net::http::Method::HEAD),
        };
        // The browser's own cache would keep a second copy of gigabytes.
        let request = request.cache(web_sys::RequestCache::NoStore).abort_signal(Some(&watch.controller.signal()));
        let response = watch.over(request.send()).await.map_err(|e| watch.cause(e.to_string()))?;
        let header = |name: &str| response.headers().get(name);
        let headers = Headers {
            content_length: header("content-length").and_then(|text| text.parse().ok()),
            content_range: header("content-range"),
            content_encoding: header("content-encoding"),
            etag: header("etag"),
            retry_after: header("retry-after"),
        };
        let reader = response.body().map(|stream| stream.get_reader().unchecked_into::<ReadableStreamDefaultReader>());
        Ok(Answer { status: response.status(), headers, reader, piece: None, watch })
    }
}

/// The answer to one request. Dropping it aborts what is still under way.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    reader: Option<ReadableStreamDefaultReader>,
    /// What the stream gave last, and how far it has been handed on. The browser chooses its size.
    piece: Option<(Uint8Array, u32)>,
    watch: Watch,
}

impl Answer {
    /// Fills a part of `window` with the next bytes of the body; 0 is its end, early or not.
    pub(crate) async fn next(&mut self, window: &mut [u8]) -> Result<usize, Cause> {
        loop {
            if let Some((piece, at)) = &mut self.piece {
                if *at < piece.length() {
                    let n = copy(piece, *at, window);
                    *at += n;
                    return Ok(n as usize);
                }
                self.piece = None;
            }
            let Some(reader) = &self.reader else {
                return Ok(0);
            };
            let read = self.watch.over(JsFuture::from(reader.read())).await.map_err(|e| self.watch.cause(words(&e)))?;
            let field = |name: &str| Reflect::get(&read, &name.into()).unwrap_or(JsValue::UNDEFINED);
            if field("done").is_truthy() {
                return Ok(0);
            }
            match field("value").dyn_into::<Uint8Array>() {
                Ok(piece) => self.piece = Some((piece, 0)),
                Err(other) => return Err(Cause::Connection(words(&other))),
            }
        }
    }
}

/// Aborts a request when nothing arrives for too long, or when it is dropped.
#[derive(Debug)]
struct Watch {
    controller: AbortController,
    stall: Duration,
    has_stalled: Rc<Cell<bool>>,
    timer: RefCell<Option<Timeout>>,
}

impl Watch {
    fn new(stall: Duration) -> Result<Self, JsValue> {
        Ok(Self { controller: AbortController::new()?, stall, has_stalled: Rc::default(), timer: RefCell::default() })
    }

    /// Awaits `work`, which the controller can abort, for as long as a stall may last.
    async fn over<T>(&self, work: impl Future<Output = T>) -> T {
        let controller = self.controller.clone();
        let has_stalled = self.has_stalled.clone();
        let millis = u32::try_from(self.stall.as_millis()).unwrap_or(u32::MAX);
        self.timer.replace(Some(Timeout::new(millis, move || {
            has_stalled.set(true);
            controller.abort();
        })));
        let done = work.await;
        self.timer.replace(None);
        done
    }

    fn cause(&self, words: String) -> Cause {
        if self.has_stalled.get() {
            return Cause::Stalled { millis: u64::try_from(self.stall.as_millis()).unwrap_or(u64::MAX) };
        }
        Cause::Connection(words)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

pub(crate) async fn sleep(time: Duration) {
    gloo_timers::future::sleep(time).await;
}

/// A number in 0..1.
pub(crate) fn random() -> f64 {
    js_sys::Math::random()
}
