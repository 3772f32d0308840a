//! The engine as JavaScript sees it. It lives in a worker; `web/src/wasm/quire_web.d.ts` is its contract.
#![cfg(target_arch = "wasm32")]

mod abort;
mod adapter;
mod answer;
pub mod cache;
mod console;
mod desk;
mod failure;
mod kept;

use std::rc::Rc;
use std::sync::Arc;

use abort::Abort;
use api::{Dialect, ExpertMap, Files, FillProgress, LiveEvent, LoadOptions, Model, Names, Progress, Request, Stats};
use desk::Desk;
use engine::{Cancel, Engine, Gpu};
use failure::Failure;
use futures_util::future::{Either, select};
use js_sys::Function;
use kept::{Opened, Wanted, Warnings};
use kernels::ops::KvType;
use model::{Budget, Options};
use serde::{Deserialize, Deserializer, Serialize};
use wasm_bindgen::prelude::*;

/// Panics are bugs; the console shows them with their place.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
    console::start();
}

#[allow(missing_debug_implementations, reason = "JavaScript has no use for it")]
/// A loaded model, which answers one call at a time.
#[wasm_bindgen]
pub struct Quire {
    files: Files,
    desk: Rc<Desk>,
    tokenizer: Arc<text::Tokenizer>,
    dialect: Option<Arc<Dialect>>,
    info: String,
    /// By which requests over HTTP may ask for it.
    names: Names,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsLoadOptions {
    /// Of the model: its URL, or its file's name.
    #[serde(skip)]
    location: String,
    context_length: Option<u32>,
    max_gpu_bytes: Option<f64>,
    /// What to do with where nobody says.
    usual_gpu_bytes: Option<f64>,
    #[serde(deserialize_with = "kv_type")]
    kv: Option<KvType>,
    /// Of memory outside wasm's.
    max_ram_bytes: f64,
    cache: Wanted,
    fill: Option<bool>,
    /// For a gated repository.
    token: Option<String>,
    manifest: Option<store::Manifest>,
}

#[derive(Serialize)]
struct JsProgress {
    phase: &'static str,
    loaded: u64,
    total: u64,
    /// Bytes of all of the model; 0 while they are not known.
    model: u64,
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

#[derive(Serialize)]
struct JsStats {
    #[serde(flatten)]
    stats: Stats,
    #[serde(flatten)]
    map: ExpertMap,
    fill: FillProgress,
    bytes_wasm: u64,
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
        let progress = |progress: JsProgress| tell(&on_progress, &progress);
        let opened = abort.guard(Self::open(model, options, &abort, &progress, Warnings(on_warning))).await;
        opened.unwrap_or(Err(Failure::Aborted)).map_err(JsValue::from)
    }

    /// JSON of an `EngineInfo`.
    pub fn info(&self) -> String {
        self.info.clone()
    }

    /// Ids of a text, in which control tokens that are spelled stay text; also while a call works with the model.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text)
    }

    /// Ids of the prompt that an OpenAI chat request makes; also while a call works with the model.
    #[wasm_bindgen(js_name = tokenizeChat)]
    pub fn tokenize_chat(&self, request: &str) -> Result<Vec<u32>, JsValue> {
        let ids = || {
            let dialect = self.dialect.as_ref().ok_or(api::Error::NoDialect)?;
            Ok::<_, api::Error>(dialect.render(&Request::from_json(request)?.chat)?.encode(&*self.tokenizer))
        };
        ids().map_err(|error| Failure::from(error).into())
    }

    /// Logits after each of `ids`, `[ids.length, n_vocab]`, over a KV cache of f16 or f32: for tests, with a copy
    /// of the model on a device of its own.
    pub async fn logits(&self, ids: Vec<u32>, kv_f16: bool) -> Result<Vec<f32>, JsValue> {
        let work = async {
            let gpu = Gpu::open().await?;
            let options = Options {
                kv: if kv_f16 { KvType::F16 } else { KvType::F32 },
                context: ids.len().max(1) as u32,
                logit_rows: 16,
                max_binding: gpu.max_binding(),
                ..Options::default()
            };
            let model = model::Model::new(&self.files.directory, options).map_err(api::Error::from)?;
            let mut engine = Engine::new(gpu, model, self.files.feed(), Vec::new()).await?;
            engine.load(&Cancel::default(), &mut |_| {}).await?;
            Ok::<_, Failure>(engine.logits(&ids, true).await?)
        };
        work.await.map_err(JsValue::from)
    }

    /// JSON of an `api::Stats`, with an `api::ExpertMap`, an `api::FillProgress` and the size of wasm memory; also while a call works with the model.
    pub fn stats(&self) -> String {
        let Desk { monitor, fill, .. } = &*self.desk;
        let pages = core::arch::wasm32::memory_size(0) as u64;
        json(&JsStats { stats: monitor.stats(), map: monitor.map(), fill: fill.progress(), bytes_wasm: pages << 16 })
    }

    /// Gives the JSON of each `api::LiveEvent` from now on, in place of who got them before.
    pub fn listen(&self, on_event: Option<Function>) {
        let listener = on_event.map(|on_event| Rc::new(move |event: LiveEvent| tell(&on_event, &event)) as api::LiveListener);
        self.desk.monitor.listen(listener);
    }

    #[wasm_bindgen(js_name = pauseFill)]
    pub fn pause_fill(&self) {
        self.desk.fill.pause();
    }

    #[wasm_bindgen(js_name = resumeFill)]
    pub fn resume_fill(&self) {
        self.desk.fill.resume();
    }
}

impl Drop for Quire {
    fn drop(&mut self) {
        self.desk.close();
    }
}

impl Quire {
    async fn open(
        model: JsValue,
        options: JsValue,
        abort: &Abort,
        progress: &dyn Fn(JsProgress),
        warnings: Warnings,
    ) -> Result<Self, Failure> {
        let mut wanted: JsLoadOptions = match js_sys::JSON::stringify(&options).ok().and_then(|s| s.as_string()) {
            Some(text) => serde_json::from_str(&text).map_err(|e| Failure::Request(format!("load options: {e}")))?,
            None => JsLoadOptions::default(),
        };
        let gpu = Gpu::open().await?.named(adapter::words().await);
        progress(JsProgress { phase: "header", loaded: 0, total: 0, model: 0 });
        let url = match model.dyn_into::<web_sys::File>() {
            Ok(file) => {
                wanted.location = file.name();
                let options = store::OpenOptions { manifest: wanted.manifest.clone(), ..store::OpenOptions::default() };
                let library = store::Library::from_sources(vec![Rc::new(store::BlobFile::from(file))], &options).await;
                let files = Files::from_library(library.map_err(api::Error::from)?).await?;
                return Self::start(files, None, gpu, &wanted, abort, progress, warnings).await;
            }
            Err(url) => url.as_string().ok_or_else(|| Failure::Request("model must be a URL or a File".into()))?,
        };
        wanted.location.clone_from(&url);
        let mut has_changed = false;
        loop {
            let begun = async {
                let Opened { files, home, changed } = kept::open(&url, &wanted, &warnings).await?;
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
        progress: &dyn Fn(JsProgress),
        warnings: Warnings,
    ) -> Result<Self, Failure> {
        let trained = model::Config::new(&files.directory).map_err(api::Error::from)?.n_context;
        let default = Options::default();
        let options = LoadOptions {
            model: Options {
                context: wanted.context_length.unwrap_or(default.context.min(trained)),
                kv: wanted.kv.unwrap_or(default.kv),
                ..default
            },
            gpu_memory: match (wanted.max_gpu_bytes, wanted.usual_gpu_bytes) {
                (Some(bytes), _) => Budget::Most(bytes as u64),
                (None, Some(bytes)) => Budget::About(bytes as u64),
                (None, None) => Budget::All,
            },
            max_ram_bytes: wanted.max_ram_bytes as u64,
        };
        let bytes = files.directory.tensors.iter().map(|t| t.bytes).sum();
        let mut on_progress = |Progress { loaded, total }| progress(JsProgress { phase: "weights", loaded, total, model: bytes });
        let model = Model::load(&files, gpu, options, abort.cancel(), &mut on_progress).await?;
        // What came is the next visit's.
        files.library.flush().await;
        warnings.check(&files.library, home.as_deref()).await;
        if files.library.has_unchecked_sums() {
            warnings.tell("unsupported", "The sums of the manifest are not checked: that is done only to what is kept.".to_owned());
        }
        let config = &model.engine.model().config;
        let info = json(&Info {
            name: &config.name,
            architecture: files.directory.metadata.str("general.architecture").ok().flatten().unwrap_or_default().to_owned(),
            adapter: model.engine.gpu().adapter(),
            context_length: model.engine.model().options.context,
            bytes,
            gpu_bytes: model.engine.gpu_bytes(),
            cache: home.as_ref().map_or("none", |home| kept::name(home.place())),
        });
        if wanted.fill == Some(false) {
            model.fill().pause();
        }
        let names = Names::new(&wanted.location, "", &[config.name.clone()]);
        let (tokenizer, dialect) = (model.tokenizer.clone(), model.dialect.clone());
        let desk = Desk::open(model, files.library.clone(), home, warnings);
        Ok(Self { files, desk, tokenizer, dialect, info, names })
    }
}

fn kv_type<'de, D: Deserializer<'de>>(from: D) -> Result<Option<KvType>, D::Error> {
    Option::<String>::deserialize(from)?.map(|name| name.parse().map_err(serde::de::Error::custom)).transpose()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Gives `value` as JSON.
fn tell(listener: &Function, value: &impl Serialize) {
    call(listener, &json(value));
}

/// What a listener throws is its own affair.
fn call(listener: &Function, json: &str) {
    if let Err(thrown) = listener.call1(&JsValue::NULL, &json.into()) {
        web_sys::console::error_1(&thrown);
    }
}
