//! The same for JavaScript, through which `text` in the engine's own module calls it; `text/src/wasm.rs` is the other end.

use js_sys::{Function, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

/// Panics are bugs; the console shows them with their place.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

#[allow(missing_debug_implementations, reason = "JavaScript has no use for it")]
#[wasm_bindgen]
pub struct Grammars(crate::Grammars);

#[allow(missing_debug_implementations, reason = "JavaScript has no use for it")]
#[wasm_bindgen]
pub struct Matcher(crate::Matcher);

#[wasm_bindgen]
impl Grammars {
    /// `spell` gives the ids of bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &[u8], ends: &[u32], spell: Function) -> Result<Self, String> {
        let spell = move |bytes: &[u8]| {
            let ids = spell.call1(&JsValue::NULL, &Uint8Array::from(bytes)).ok();
            ids.map_or(Vec::new(), |ids| Uint32Array::from(ids).to_vec())
        };
        crate::Grammars::new(bytes, ends, Box::new(spell)).map(Self)
    }

    pub fn json(&self, schema: &str) -> Result<Matcher, String> {
        let schema = serde_json::from_str(schema).map_err(|error| error.to_string())?;
        self.0.json(schema).map(Matcher)
    }

    pub fn lark(&self, grammar: String) -> Result<Matcher, String> {
        self.0.lark(grammar).map(Matcher)
    }
}

#[wasm_bindgen]
impl Matcher {
    pub fn push(&mut self, id: u32) -> Result<(), String> {
        self.0.push(id)
    }

    pub fn allowed(&mut self) -> Result<Vec<u32>, String> {
        self.0.allowed()
    }

    #[wasm_bindgen(js_name = isWhole)]
    pub fn is_whole(&mut self) -> Result<bool, String> {
        self.0.is_whole()
    }

    /// Another one at the same place of the text.
    pub fn fork(&self) -> Self {
        Self(self.0.clone())
    }
}
