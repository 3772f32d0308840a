//! What is kept in the browser, without a model or a GPU: `web/src/cache.ts` is its face.

use std::ops::{ControlFlow, Range};
use std::rc::Rc;
use std::time::Duration;

use api::shard_locations;
use futures_util::future::{Either, select};
use gloo_timers::future::sleep;
use js_sys::Function;
use serde::Serialize;
use store::{
    BlobFile, BrowserHome, Error, Home, Identity, Kept, Library, LocalFuture, Manifest, OpenOptions, Priority, Run, Sink, Source, import,
    list, quota, verify,
};
use wasm_bindgen::prelude::*;

use crate::abort::Abort;
use crate::failure::Failure;
use crate::kept::{Wanted, describe, name};
use crate::{json, tell};

/// What is read at once of a file that is fetched as a whole.
const STEP: u64 = 8 << 20;
/// How long a server is waited for that may have another version.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct JsFile {
    url: String,
    size: u64,
    kept: u64,
    tag: Option<String>,
}

#[derive(Serialize)]
struct JsProgress {
    loaded: u64,
    total: u64,
}

#[derive(Serialize)]
struct Added {
    size: u64,
    fetched: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsVerified {
    chunks: u64,
    bytes: u64,
    bad_chunks: u64,
    sha256: Option<String>,
    announced: bool,
}

#[derive(Serialize)]
struct Estimate {
    usage: u64,
    quota: u64,
    persisted: bool,
    /// Where what comes is kept; `null` if nothing can be.
    home: Option<&'static str>,
    /// Bytes per second of reading, as measured.
    rates: Rates,
}

#[derive(Default, Serialize)]
struct Rates {
    indexeddb: Option<f64>,
    opfs: Option<f64>,
}

/// Boxed, like [`failed`], since all that is here would have one in itself.
fn home() -> LocalFuture<'static, Result<Rc<BrowserHome>, Failure>> {
    Box::pin(async {
        match Wanted::Auto.open().await {
            Ok(home) => home.ok_or(Failure::Aborted),
            Err(error) => Err(failed(&error, None).await),
        }
    })
}

fn failed<'a>(error: &'a Error, home: Option<&'a BrowserHome>) -> LocalFuture<'a, Failure> {
    Box::pin(async move {
        if matches!(error, Error::Cancelled { .. }) {
            return Failure::Aborted;
        }
        let (code, words) = describe(error, home).await;
        Failure::Coded(code, words)
    })
}

/// Does `work`, and says what failed.
async fn with_home<T>(work: impl AsyncFnOnce(&Rc<BrowserHome>) -> Result<T, Error>) -> Result<T, Failure> {
    let home = home().await?;
    match work(&home).await {
        Ok(done) => Ok(done),
        Err(error) => Err(failed(&error, Some(&home)).await),
    }
}

/// The versions of `url`, or of all shards of its set, oldest first.
async fn versions(home: &BrowserHome, url: &str) -> Result<Vec<Kept>, Error> {
    let locations = shard_locations(url);
    Ok(list(home).await?.into_iter().filter(|kept| locations.contains(&kept.identity.location)).collect())
}

/// JSON of `CachedFile[]`, oldest first.
#[wasm_bindgen(js_name = cacheList)]
pub async fn list_kept() -> Result<String, JsValue> {
    let list = with_home(async |home: &Rc<BrowserHome>| list(&**home).await).await?;
    let file = |Kept { identity: Identity { location, size, tag }, bytes, .. }| JsFile { url: location, size, kept: bytes, tag };
    Ok(json(&list.into_iter().map(file).collect::<Vec<_>>()))
}

/// Whether all of a file and its other shards is kept.
#[wasm_bindgen(js_name = cacheHas)]
pub async fn has(url: String) -> Result<bool, JsValue> {
    let has = async |home: &Rc<BrowserHome>| {
        let kept = versions(home, &url).await?;
        let is_whole = |shard: &String| {
            kept.iter().rfind(|kept| kept.identity.location == *shard).is_some_and(|kept| kept.bytes == kept.identity.size)
        };
        Ok(shard_locations(&url).iter().all(is_whole))
    };
    Ok(with_home(has).await?)
}

/// Removes all versions of a file and its other shards; returns the bytes that were kept of them.
#[wasm_bindgen(js_name = cacheRemove)]
pub async fn remove(url: String) -> Result<f64, JsValue> {
    let remove = async |home: &Rc<BrowserHome>| {
        let mut bytes = 0;
        for kept in versions(home, &url).await? {
            home.remove(&kept.identity).await?;
            bytes += kept.bytes;
        }
        Ok(bytes as f64)
    };
    Ok(with_home(remove).await?)
}

/// Fetches a file and its other shards whole, but for what is kept. JSON of `{ size, fetched }`, bytes. `home` and `token`
/// are as in the options of an engine; `manifest` is JSON, and what has come whole is held against it.
#[wasm_bindgen(js_name = cacheAdd)]
pub async fn add(
    url: String,
    home: String,
    token: Option<String>,
    manifest: Option<String>,
    on_progress: Function,
    signal: Option<web_sys::AbortSignal>,
) -> Result<String, JsValue> {
    let abort = Abort::new(signal);
    let work = async {
        let manifest = manifest.map(|json| Manifest::from_json(json.as_bytes())).transpose().map_err(api::Error::from)?;
        let wanted: Wanted = serde_json::from_value(home.into()).map_err(|e| Failure::Request(format!("cache: {e}")))?;
        let home = match wanted.open().await {
            Ok(Some(home)) => home,
            Ok(None) => return Err(Failure::Request("with \"none\" nothing can be added".into())),
            Err(error) => return Err(failed(&error, None).await),
        };
        let options = OpenOptions { home: Some(home.clone() as Rc<dyn Home>), token, manifest, ..OpenOptions::default() };
        let mut added = add_to(&options, &url, &on_progress).await;
        if matches!(added, Err(Error::Changed { .. })) {
            // What was kept of the old version is gone by now.
            added = add_to(&options, &url, &on_progress).await;
        }
        match added {
            Ok(added) => Ok(json(&added)),
            Err(error) => Err(failed(&error, Some(&home)).await),
        }
    };
    abort.guard(work).await.unwrap_or(Err(Failure::Aborted)).map_err(JsValue::from)
}

async fn add_to(options: &OpenOptions, url: &str, on_progress: &Function) -> Result<Added, Error> {
    let library = Library::open(&shard_locations(url), options).await?;
    // Without a network there is nobody to be asked.
    let asked = select(Box::pin(library.revalidate()), Box::pin(sleep(PATIENCE))).await;
    if let Either::Left((Err(error @ Error::Changed { .. }), _)) = asked {
        return Err(error);
    }
    let mut runs = Vec::new();
    for (shard, source) in library.shards().iter().enumerate() {
        let size = source.size().await?;
        let run = |start| Run { shard, range: start..size.min(start + STEP) };
        runs.extend((0..size).step_by(STEP as usize).map(run));
    }
    let total = runs.iter().map(|run| run.range.end - run.range.start).sum();
    let (mut loaded, mut told, mut problem) = (0, 0, None);
    let mut take = |_: usize, piece: &[u8]| {
        loaded += piece.len() as u64;
        if loaded - told >= 1 << 20 || loaded == total {
            told = loaded;
            tell(on_progress, &JsProgress { loaded, total });
        }
        problem = library.take_problem();
        if problem.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let read = library.read_runs(&runs, Priority::Background, &mut take).await;
    library.flush().await;
    if let Some(problem) = problem.or_else(|| library.take_problem()) {
        return Err(again(&problem));
    }
    read?;
    while library.check_some().await? {
        // Others may work meanwhile.
        sleep(Duration::ZERO).await;
    }
    Ok(Added { size: total, fetched: library.traffic().bytes })
}

/// What is shared cannot be moved.
fn again(problem: &Error) -> Error {
    match problem {
        Error::Full { location, needed, free } => Error::Full { location: location.clone(), needed: *needed, free: *free },
        Error::Busy { location } => Error::Busy { location: location.clone() },
        other => Error::Write { location: "the browser's storage".to_owned(), cause: other.to_string() },
    }
}

/// Holds what is kept of a file and its other shards against its checksums, and forgets what is damaged. JSON of `Verified`.
#[wasm_bindgen(js_name = cacheVerify)]
pub async fn verify_kept(url: String, on_progress: Function, signal: Option<web_sys::AbortSignal>) -> Result<String, JsValue> {
    let abort = Abort::new(signal);
    let work = async |home: &Rc<BrowserHome>| {
        let kept = versions(home, &url).await?;
        let total = kept.iter().map(|kept| kept.bytes).sum();
        let mut all = JsVerified { chunks: 0, bytes: 0, bad_chunks: 0, sha256: None, announced: !kept.is_empty() };
        let mut before = 0;
        for (i, version) in kept.iter().enumerate() {
            let mut progress = |done| {
                tell(&on_progress, &JsProgress { loaded: before + done, total });
                if abort.cancel().is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let found = verify(&**home, &version.identity, &mut progress).await?;
            before += version.bytes;
            all.chunks += found.chunks;
            all.bytes += found.bytes;
            all.bad_chunks += found.bad_chunks;
            // There is one of a file, not of a set.
            let is_only = kept.len() == 1 && i == 0;
            all.sha256 = found.sha256.filter(|_| is_only).map(|sum| sum.to_string());
            all.announced &= found.is_announced;
        }
        Ok(json(&all))
    };
    abort.guard(with_home(work)).await.unwrap_or(Err(Failure::Aborted)).map_err(JsValue::from)
}

/// Keeps a file that is here as what `url` would give; older versions are removed. What has come of it is discarded if it is stopped, or
/// by whoever looks next if nobody is left to do so.
#[wasm_bindgen(js_name = cacheImport)]
pub async fn import_file(
    file: web_sys::Blob,
    url: String,
    on_progress: Function,
    signal: Option<web_sys::AbortSignal>,
) -> Result<(), JsValue> {
    let abort = Abort::new(signal);
    let work = async |home: &Rc<BrowserHome>| {
        let source = BlobFile::new("the file", file);
        let size = source.size().await?;
        // What is kept of the same file is completed rather than shadowed.
        let kept = list(&**home).await?.into_iter().rfind(|kept| kept.identity.location == url && kept.identity.size == size);
        let identity = kept.map_or_else(|| Identity { location: url.clone(), size, tag: None }, |kept| kept.identity);
        let mut progress = |loaded| {
            tell(&on_progress, &JsProgress { loaded, total: size });
            if abort.cancel().is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        import(&**home, &identity, &source, &mut progress).await?;
        for other in home.list().await? {
            if other.identity.location == url && other.identity != identity {
                home.remove(&other.identity).await?;
            }
        }
        Ok(())
    };
    abort.guard(with_home(work)).await.unwrap_or(Err(Failure::Aborted)).map_err(JsValue::from)
}

/// JSON of `CacheEstimate`.
#[wasm_bindgen(js_name = cacheEstimate)]
pub async fn estimate() -> String {
    let home = Wanted::Auto.open().await.ok().flatten();
    let quota = quota().await;
    json(&Estimate {
        usage: quota.map_or(0, |quota| quota.used_bytes),
        quota: quota.map_or(0, |quota| quota.quota_bytes),
        persisted: quota.is_some_and(|quota| quota.is_persistent),
        home: home.as_ref().map(|home| name(home.place())),
        rates: home.map_or_else(Rates::default, |home| Rates { indexeddb: home.measured().indexed_db, opfs: home.measured().opfs }),
    })
}

#[allow(missing_debug_implementations, reason = "JavaScript has no use for it")]
/// Reads a file that is kept whole, checked.
#[wasm_bindgen]
pub struct CacheReader {
    library: Library,
    home: Rc<BrowserHome>,
    size: u64,
}

#[wasm_bindgen]
impl CacheReader {
    pub async fn open(url: String) -> Result<Self, JsValue> {
        let home = home().await?;
        let work = async {
            let kept = list(&*home).await?.into_iter().rfind(|kept| kept.identity.location == url);
            let (kept, size) = kept.map_or((0, 0), |kept| (kept.bytes, kept.identity.size));
            let absent = Absent { location: url.clone(), size };
            if kept < size || size == 0 {
                return Err(absent.error(kept));
            }
            Ok((Library::with_home(vec![Rc::new(absent)], home.clone()).await?, size))
        };
        match work.await {
            Ok((library, size)) => Ok(Self { library, home, size }),
            Err(error) => Err(failed(&error, Some(&home)).await.into()),
        }
    }

    pub fn size(&self) -> f64 {
        self.size as f64
    }

    /// Bytes `start..end`; both are brought inside the file.
    pub async fn read(&self, start: f64, end: f64) -> Result<js_sys::Uint8Array, JsValue> {
        let range = (start as u64).min(self.size)..(end as u64).min(self.size);
        let bytes = js_sys::Uint8Array::new_with_length(range.end.saturating_sub(range.start) as u32);
        let mut at = 0;
        let mut take = |_: usize, piece: &[u8]| {
            let n = piece.len() as u32;
            bytes.subarray(at, at + n).copy_from(piece);
            at += n;
            ControlFlow::Continue(())
        };
        let read = self.library.read_runs(&[Run { shard: 0, range }], Priority::Background, &mut take).await;
        match read {
            Ok(()) => Ok(bytes),
            Err(error) => Err(failed(&error, Some(&self.home)).await.into()),
        }
    }
}

/// A file of which there is no more than what is kept.
struct Absent {
    location: String,
    size: u64,
}

impl Absent {
    fn error(&self, kept: u64) -> Error {
        Error::Incomplete { location: self.location.clone(), kept, size: self.size }
    }
}

impl Source for Absent {
    fn location(&self) -> &str {
        &self.location
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.size) })
    }

    fn read<'a>(&'a self, range: Range<u64>, _: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move { Err(self.error(range.start)) })
    }

    fn is_remote(&self) -> bool {
        true
    }
}
