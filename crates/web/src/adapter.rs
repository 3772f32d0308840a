//! The graphics adapter as the browser tells of it.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// The `GPUAdapter`, unless there is none.
async fn request() -> Option<JsValue> {
    let found = JsFuture::from(ask().ok()?).await.ok()?;
    found.is_object().then_some(found)
}

fn ask() -> Result<Promise, JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
    let gpu = Reflect::get(&navigator, &"gpu".into())?;
    let request: Function = Reflect::get(&gpu, &"requestAdapter".into())?.dyn_into()?;
    // The one that the engine asks for.
    let options = Object::new();
    Reflect::set(&options, &"powerPreference".into(), &"high-performance".into())?;
    request.call1(&gpu, &options)?.dyn_into()
}

/// The adapter in words. Browsers say as much of it as they like: all, the family, or nothing.
pub(crate) async fn words() -> String {
    let unnamed = || "adapter not named by the browser".to_owned();
    let Some(info) = request().await.and_then(|adapter| Reflect::get(&adapter, &"info".into()).ok()) else {
        return unnamed();
    };
    let text = |name: &str| Reflect::get(&info, &name.into()).ok()?.as_string().filter(|text| !text.is_empty());
    let family = || {
        let parts: Vec<_> = ["vendor", "architecture", "device"].into_iter().filter_map(text).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    let name = text("description").or_else(family).unwrap_or_else(unnamed);
    let is_software = Reflect::get(&info, &"isFallbackAdapter".into()).is_ok_and(|is| is.is_truthy());
    if is_software { format!("{name} (software)") } else { name }
}
