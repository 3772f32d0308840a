//! `fetch` with a streamed body, which ends when nothing arrives or nobody wants it.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use gloo_timers::callback::Timeout;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortController, ReadableStreamDefaultReader};

use super::{copy, words};
use crate::Cause;
use crate::http::{Ask, Headers, Retry};

/// Sends requests; the browser keeps the connections.
#[derive(Debug)]
pub(crate) struct Agent {
    stall: Duration,
}

impl Agent {
    pub(crate) fn new(retry: &Retry) -> Self {
        Self { stall: retry.stall }
    }

    /// Sends one request; `url` may be another than the one that was redirected here.
    pub(crate) async fn send(&self, url: &str, token: Option<&str>, ask: &Ask) -> Result<Answer, Cause> {
        let watch = Watch::new(self.stall).map_err(|e| Cause::Connection(words(&e)))?;
        let request = match ask {
            // A single closed range needs no CORS preflight.
            Ask::Range(range) => gloo_net::http::Request::get(url).header("Range", &format!("bytes={}-{}", range.start, range.end - 1)),
            Ask::Head => gloo_net::http::RequestBuilder::new(url).method(gloo_net::http::Method::HEAD),
        };
        let request = match token {
            Some(token) => request.header("Authorization", &format!("Bearer {token}")),
            None => request,
        };
        // The browser's own cache would keep a second copy of gigabytes.
        let request = request.cache(web_sys::RequestCache::NoStore).abort_signal(Some(&watch.controller.signal()));
        let response = watch.over(request.send()).await.map_err(|e| watch.cause(e.to_string()))?;
        let headers = Headers::from_fn(|name| response.headers().get(name));
        let reader = response.body().map(|stream| stream.get_reader().unchecked_into::<ReadableStreamDefaultReader>());
        let left = match ask {
            Ask::Range(_) => response.headers().get("content-length").and_then(|bytes| bytes.parse().ok()),
            Ask::Head => Some(0),
        };
        Ok(Answer {
            status: response.status(),
            redirected: response.redirected().then(|| response.url()),
            headers,
            reader,
            left,
            piece: None,
            watch: Rc::new(watch),
        })
    }
}

/// The rest of a body that is not worth breaking off.
const REST_BYTES: u64 = 16 << 10;

/// The answer to one request. Dropping it aborts what is still under way.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where redirects led to, if there were any.
    pub(crate) redirected: Option<String>,
    pub(crate) headers: Headers,
    reader: Option<ReadableStreamDefaultReader>,
    /// Bytes of the body that have not been handed on, if it is known how many it has.
    left: Option<u64>,
    /// What the stream gave last, and how far it has been handed on. The browser chooses its size.
    piece: Option<(Uint8Array, u32)>,
    watch: Rc<Watch>,
}

impl Answer {
    /// Fills a part of `window` with the next bytes of the body; 0 is its end, early or not.
    pub(crate) async fn next(&mut self, window: &mut [u8]) -> Result<usize, Cause> {
        loop {
            if let Some((piece, at)) = &mut self.piece {
                if *at < piece.length() {
                    let n = copy(piece, *at, window);
                    *at += n;
                    self.left = self.left.map(|left| left.saturating_sub(u64::from(n)));
                    return Ok(n as usize);
                }
                self.piece = None;
            }
            let Some(reader) = &self.reader else {
                return Ok(0);
            };
            let read = self.watch.over(JsFuture::from(reader.read())).await.map_err(|e| self.watch.cause(words(&e)))?;
            if is_end(&read) {
                return Ok(0);
            }
            match Reflect::get(&read, &"value".into()).unwrap_or_default().dyn_into::<Uint8Array>() {
                Ok(piece) => self.piece = Some((piece, 0)),
                Err(other) => return Err(Cause::Connection(words(&other))),
            }
        }
    }
}

impl Drop for Answer {
    /// Broken off just before its end, a request would count as cancelled, and its connection would be lost.
    fn drop(&mut self) {
        let Some(reader) = self.reader.take().filter(|_| self.left.is_some_and(|left| left <= REST_BYTES)) else {
            return;
        };
        let watch = self.watch.clone();
        spawn_local(async move {
            while let Ok(read) = watch.over(JsFuture::from(reader.read())).await
                && !is_end(&read)
            {}
        });
    }
}

/// Whether what a reader gave is the end.
fn is_end(read: &JsValue) -> bool {
    Reflect::get(read, &"done".into()).is_ok_and(|done| done.is_truthy())
}

/// Aborts a request when nothing arrives for too long, or when it is dropped.
#[derive(Debug)]
struct Watch {
    controller: AbortController,
    stall: Duration,
    has_stalled: Rc<Cell<bool>>,
}

impl Watch {
    fn new(stall: Duration) -> Result<Self, JsValue> {
        Ok(Self { controller: AbortController::new()?, stall, has_stalled: Rc::default() })
    }

    /// Awaits `work`, which the controller can abort, for as long as a stall may last. It counts as done when it is, not when somebody asks:
    /// who reads for others that are less urgent may be asked much later.
    async fn over<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> T {
        let controller = self.controller.clone();
        let has_stalled = self.has_stalled.clone();
        let millis = u32::try_from(self.stall.as_millis()).unwrap_or(u32::MAX);
        let timer = Timeout::new(millis, move || {
            has_stalled.set(true);
            controller.abort();
        });
        let (sender, receiver) = oneshot::channel();
        spawn_local(async move {
            let done = work.await;
            drop(timer);
            // Perhaps nobody waits any more.
            let _ = sender.send(done);
        });
        match receiver.await {
            Ok(done) => done,
            // What was spawned runs to its end.
            Err(oneshot::Canceled) => pending().await,
        }
    }

    fn cause(&self, words: String) -> Cause {
        if self.has_stalled.get() {
            return Cause::stalled(self.stall);
        }
        if is_offline() {
            return Cause::Offline;
        }
        Cause::Connection(words)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

/// Whether the browser says that there is no network; it may not know.
fn is_offline() -> bool {
    js_sys::global().dyn_into::<web_sys::WorkerGlobalScope>().is_ok_and(|scope| !scope.navigator().on_line())
}
