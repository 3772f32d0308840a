//! What follows grammars, a wasm module of its own (`grammar`): fetched when it is first needed, called through JavaScript.

use std::fmt;
use std::sync::Arc;

use wasm_bindgen::prelude::*;

use crate::constrained::{Form, Words, spell};
use crate::{Error, Tokenizer};

// `web/src/wasm/grammar.ts`
#[wasm_bindgen(raw_module = "./grammar.js")]
extern "C" {
    /// Fetches and starts the module, once.
    #[wasm_bindgen(catch, js_name = loadGrammar)]
    async fn load() -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_name = Grammars)]
    type JsGrammars;
    #[wasm_bindgen(catch, constructor, js_class = Grammars)]
    fn new(bytes: &[u8], ends: &[u32], spell: &JsValue) -> Result<JsGrammars, JsValue>;
    #[wasm_bindgen(catch, method, js_class = Grammars)]
    fn json(this: &JsGrammars, schema: &str) -> Result<JsMatcher, JsValue>;
    #[wasm_bindgen(catch, method, js_class = Grammars)]
    fn lark(this: &JsGrammars, grammar: &str) -> Result<JsMatcher, JsValue>;
    #[wasm_bindgen(method, js_class = Grammars)]
    fn free(this: &JsGrammars);

    #[wasm_bindgen(js_name = Matcher)]
    type JsMatcher;
    #[wasm_bindgen(catch, method, js_class = Matcher)]
    fn push(this: &JsMatcher, id: u32) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, method, js_class = Matcher)]
    fn allowed(this: &JsMatcher) -> Result<Vec<u32>, JsValue>;
    #[wasm_bindgen(catch, method, js_class = Matcher, js_name = isWhole)]
    fn is_whole(this: &JsMatcher) -> Result<bool, JsValue>;
    #[wasm_bindgen(method, js_class = Matcher)]
    fn fork(this: &JsMatcher) -> JsMatcher;
    #[wasm_bindgen(method, js_class = Matcher)]
    fn free(this: &JsMatcher);
}

pub(crate) struct Grammars {
    inner: JsGrammars,
    /// Called by `inner`.
    _spell: Closure<dyn Fn(Vec<u8>) -> Vec<u32>>,
}

pub(crate) struct Matcher(JsMatcher);

impl Grammars {
    pub(crate) async fn new(words: &Words, tokenizer: Arc<Tokenizer>) -> Result<Self, Error> {
        let failed = |thrown| Error::NoGrammars { reason: reason(&thrown) };
        load().await.map_err(failed)?;
        let spell = Closure::<dyn Fn(Vec<u8>) -> Vec<u32>>::new(move |bytes: Vec<u8>| spell(&tokenizer, &bytes));
        let inner = JsGrammars::new(&words.bytes, &words.ends, spell.as_ref()).map_err(failed)?;
        Ok(Self { inner, _spell: spell })
    }

    pub(crate) fn matcher(&self, form: &Form) -> Result<Matcher, String> {
        let matcher = match form {
            Form::Json(schema) => self.inner.json(&schema.to_string()),
            Form::Lark(grammar) => self.inner.lark(grammar),
        };
        matcher.map(Matcher).map_err(|thrown| reason(&thrown))
    }
}

impl Matcher {
    pub(crate) fn push(&mut self, id: u32) -> Result<(), String> {
        self.0.push(id).map_err(|thrown| reason(&thrown))
    }

    pub(crate) fn allowed(&mut self) -> Result<Vec<u32>, String> {
        self.0.allowed().map_err(|thrown| reason(&thrown))
    }

    pub(crate) fn is_whole(&mut self) -> Result<bool, String> {
        self.0.is_whole().map_err(|thrown| reason(&thrown))
    }
}

impl Clone for Matcher {
    fn clone(&self) -> Self {
        Self(self.0.fork())
    }
}

impl Drop for Grammars {
    fn drop(&mut self) {
        self.inner.free();
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        self.0.free();
    }
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher").finish_non_exhaustive()
    }
}

/// What was thrown, in words: the module's own are strings.
fn reason(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| format!("{thrown:?}")),
    }
}
