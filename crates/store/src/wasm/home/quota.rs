//! How much the browser lets this page keep.

use js_sys::Reflect;
use wasm_bindgen_futures::JsFuture;

use super::opfs::storage;

/// Of the whole origin, in bytes. Browsers round and guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub used_bytes: u64,
    pub quota_bytes: u64,
    /// Whether the browser has promised not to remove it by itself.
    pub is_persistent: bool,
}

impl Quota {
    pub fn free_bytes(&self) -> u64 {
        self.quota_bytes.saturating_sub(self.used_bytes)
    }
}

/// What the browser says; `None` if it says nothing.
pub async fn quota() -> Option<Quota> {
    let storage = storage()?;
    let estimate = JsFuture::from(storage.estimate().ok()?).await.ok()?;
    let number = |name: &str| Reflect::get(&estimate, &name.into()).ok()?.as_f64().map(|bytes| bytes as u64);
    let (used_bytes, quota_bytes) = (number("usage")?, number("quota")?);
    let is_persistent = match storage.persisted() {
        Ok(asked) => JsFuture::from(asked).await.is_ok_and(|is| is.is_truthy()),
        Err(_) => false,
    };
    Some(Quota { used_bytes, quota_bytes, is_persistent })
}
