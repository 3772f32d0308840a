//! The engine as JavaScript sees it. It lives in a worker; `web/src/wasm/quire_web.d.ts` is its contract.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Panics are bugs; the console shows them with their place.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Whether this scope has WebGPU and an adapter to offer.
#[wasm_bindgen(js_name = isSupported)]
pub async fn is_supported() -> bool {
    match request_adapter() {
        Ok(adapter) => JsFuture::from(adapter).await.is_ok_and(|found| found.is_object()),
        Err(_) => false,
    }
}

/// `navigator.gpu.requestAdapter()`, which page and worker share.
fn request_adapter() -> Result<Promise, JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
    let gpu = Reflect::get(&navigator, &"gpu".into())?;
    let request: Function = Reflect::get(&gpu, &"requestAdapter".into())?.dyn_into()?;
    request.call0(&gpu)?.dyn_into()
}
