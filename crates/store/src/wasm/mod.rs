//! What stands on a browser: `fetch` with a streamed body, `Blob` slices, storage, time.

mod agent;
mod blob;
mod buffer;
mod home;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::{Error, Http, Source};

pub(crate) use agent::{Agent, Answer};
pub use blob::BlobFile;
pub(crate) use buffer::Buffer;
pub use home::{BrowserHome, Measured, Place, Quota, quota};

/// Whatever keeps others away while it lives.
pub type Claim = Rc<dyn std::any::Any>;

/// Opens a URL; a relative one is resolved against the worker's own.
///
/// # Errors
/// None here: a URL is not asked before the first read.
pub fn open(location: &str) -> Result<Rc<dyn Source>, Error> {
    Ok(Rc::new(Http::new(location)))
}

/// Every location is a URL, be it a relative one.
pub(crate) fn is_url(_: &str) -> bool {
    true
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

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(js_sys::Date::now() as u64)
}

pub(crate) async fn sleep(time: Duration) {
    gloo_timers::future::sleep(time).await;
}

/// A number in 0..1.
pub(crate) fn random() -> f64 {
    js_sys::Math::random()
}
