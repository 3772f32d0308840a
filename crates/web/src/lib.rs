//! The engine as JavaScript sees it. It lives in a worker; `web/src/wasm/quire_web.d.ts` is its contract.
#![cfg(target_arch = "wasm32")]

mod abort;
mod adapter;
pub mod cache;
mod console;
mod failure;
mod kept;

use std::cell::Cell;
use std::rc::Rc;

use abort::Abort;
use api::{Files, LoadOptions, Model, Progress, Request};
use engine::{Cancel, Engine, Gpu};
use failure::Failure;
use futures_util::future::{Either, select};
use js_sys::Function;
use kept::{Opened, Wanted, Warnings};
use kernels::ops::KvType;
use model::Options;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

/// Panics are bugs; the console shows them with their place.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
    console::start();
}

#[allow(missing_debug_implementations, reason = "JavaScript has no use for it")]
/// A loaded model. One call at a time: another one meanwhile fails with `busy`.
#[wasm_bindgen]
pub struct Quire {
    files: Files,
    gpu: Gpu,
    /// Away while a call works with it.
    model: Cell<Option<Model>>,
    home: Option<Rc<store::BrowserHome>>,
    warnings: Warnings,
    info: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsLoadOptions {
    context_length: Option<u32>,
    max_gpu_bytes: Option<f64>,
    cache: Wanted,
    /// For a gated repository.
    token: Option<String>,
}

#[derive(Serialize)]
struct JsProgress {
    phase: &'static str,
    loaded: u64,
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    name: &'a str,
    architecture: String,
    adapter: String,
    context_length: u32,
    bytes: u64,
    gpu_bytes: u64,
    /// Where what comes is kept.
    cache: &'static str,
}

#[wasm_bindgen]
impl Quire {
    /// Opens a URL or a `File` and reads all weights. `options` and what `on_progress` gets are JSON's; so is what
    /// `on_warning` gets, now and later, of what does not stop the work.
    pub async fn load(
        model: JsValue,
        options: JsValue,
        on_progress: Function,
        on_warning: Function,
        signal: Option<web_sys::AbortSignal>,
    ) -> Result<Self, JsValue> {
        let abort = Abort::new(signal);
        let progress = |phase, Progress { loaded, total }| tell(&on_progress, &JsProgress { phase, loaded, total });
        let opened = abort.guard(Self::open(model, options, &abort, &progress, Warnings(on_warning))).await;
        opened.unwrap_or(Err(Failure::Aborted)).map_err(JsValue::from)
    }

    /// JSON of an `EngineInfo`.
    pub fn info(&self) -> String {
        self.info.clone()
    }

    /// Answers an OpenAI chat request; `on_chunk` gets the JSON of each chunk, the whole answer's is returned.
    pub async fn chat(&self, request: String, on_chunk: Function, signal: Option<web_sys::AbortSignal>) -> Result<String, JsValue> {
        let abort = Abort::new(signal);
        let work = async {
            let request = Request::from_json(&request)?;
            let mut model = self.model.take().ok_or(Failure::Busy)?;
            let answer = model.chat(&request, abort.cancel(), &mut |chunk| tell(&on_chunk, &chunk)).await;
            self.model.set(Some(model));
            self.warnings.check(&self.files.library, self.home.as_deref()).await;
            Ok::<_, Failure>(json(&answer?))
        };
        work.await.map_err(JsValue::from)
    }

    /// Logits after each of `ids`, `[ids.length, n_vocab]`, over a KV cache of f16 or f32: for tests, with a copy
    /// of the model of its own.
    pub async fn logits(&self, ids: Vec<u32>, kv_f16: bool) -> Result<Vec<f32>, JsValue> {
        let work = async {
            let options = Options {
                kv: if kv_f16 { KvType::F16 } else { KvType::F32 },
                context: ids.len().max(1) as u32,
                logit_rows: 16,
                max_binding: self.gpu.max_binding(),
                ..Options::default()
            };
            let model = model::Model::new(&self.files.directory, options).map_err(api::Error::from)?;
            let mut engine = Engine::new(self.gpu.clone(), model, self.files.feed(), Vec::new()).await?;
            engine.load(&Cancel::default(), &mut |_| {}).await?;
            Ok::<_, Failure>(engine.logits(&ids, true).await?)
        };
        work.await.map_err(JsValue::from)
    }

    /// JSON of an `api::Stats`. While a call works with the model it is `busy`.
    pub fn stats(&self) -> Result<String, JsValue> {
        let model = self.model.take().ok_or(Failure::Busy)?;
        let stats = json(&model.stats());
        self.model.set(Some(model));
        Ok(stats)
    }
}

impl Quire {
    async fn open(
        model: JsValue,
        options: JsValue,
        abort: &Abort,
        progress: &dyn Fn(&'static str, Progress),
        warnings: Warnings,
    ) -> Result<Self, Failure> {
        let wanted: JsLoadOptions = match js_sys::JSON::stringify(&options).ok().and_then(|s| s.as_string()) {
            Some(text) => serde_json::from_str(&text).map_err(|e| Failure::Request(format!("load options: {e}")))?,
            None => JsLoadOptions::default(),
        };
        let gpu = Gpu::open().await?;
        progress("header", Progress { loaded: 0, total: 0 });
        let url = match model.dyn_into::<web_sys::File>() {
            Ok(file) => {
                let files = Files::from_sources(vec![Rc::new(store::BlobFile::from(file))]).await?;
                return Self::start(files, None, gpu, &wanted, abort, progress, warnings).await;
            }
            Err(url) => url.as_string().ok_or_else(|| Failure::Request("model must be a URL or a File".into()))?,
        };
        let mut has_changed = false;
        loop {
            let begun = async {
                let Opened { files, home, changed } = kept::open(&url, wanted.cache, wanted.token.clone(), &warnings).await?;
                let starting = Self::start(files, home, gpu.clone(), &wanted, abort, progress, warnings.clone());
                match select(Box::pin(starting), changed).await {
                    Either::Left((started, _)) => started,
                    Either::Right((Ok(()), _)) => Err(Failure::Coded("integrity", format!("{url} has changed on the server"))),
                    Either::Right((Err(_), starting)) => starting.await,
                }
            };
            match begun.await {
                // What was kept of the old version is gone by now.
                Err(failure) if failure.is_change() && !has_changed => has_changed = true,
                done => return done,
            }
        }
    }

    async fn start(
        files: Files,
        home: Option<Rc<store::BrowserHome>>,
        gpu: Gpu,
        wanted: &JsLoadOptions,
        abort: &Abort,
        progress: &dyn Fn(&'static str, Progress),
        warnings: Warnings,
    ) -> Result<Self, Failure> {
        let trained = model::Config::new(&files.directory).map_err(api::Error::from)?.n_context;
        let default = Options::default();
        let options = LoadOptions {
            model: Options { context: wanted.context_length.unwrap_or(default.context.min(trained)), ..default },
            max_gpu_bytes: wanted.max_gpu_bytes.map(|b| b as u64),
        };
        let model = Model::load(&files, gpu.clone(), options, abort.cancel(), &mut |p| progress("weights", p)).await?;
        // What came is the next visit's.
        files.library.flush().await;
        warnings.check(&files.library, home.as_deref()).await;
        let config = &model.engine.model().config;
        let info = json(&Info {
            name: &config.name,
            architecture: files.directory.metadata.str("general.architecture").ok().flatten().unwrap_or_default().to_owned(),
            adapter: adapter::words().await,
            context_length: model.engine.model().options.context,
            bytes: files.directory.tensors.iter().map(|t| t.bytes).sum(),
            gpu_bytes: model.engine.gpu_bytes(),
            cache: home.as_ref().map_or("none", |home| kept::name(home.place())),
        });
        Ok(Self { files, gpu, model: Cell::new(Some(model)), home, warnings, info })
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What a listener throws is its own affair.
fn tell(listener: &Function, value: &impl Serialize) {
    if let Err(thrown) = listener.call1(&JsValue::NULL, &json(value).into()) {
        web_sys::console::error_1(&thrown);
    }
}
