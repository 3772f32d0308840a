//! What loading a model has to do with what is kept of it.

use std::rc::Rc;

use api::Files;
use futures_channel::oneshot;
use js_sys::Function;
use serde::{Deserialize, Serialize};
use store::{BrowserHome, Home, Library, OpenOptions, Place};

use crate::failure::Failure;
use crate::{JsLoadOptions, tell};

/// `EngineOptions.cache`
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wanted {
    /// The place that reads faster.
    #[default]
    Auto,
    IndexedDb,
    Opfs,
    None,
}

impl Wanted {
    /// `None` for none.
    pub(crate) async fn open(self) -> Result<Option<Rc<BrowserHome>>, store::Error> {
        let place = match self {
            Self::Auto => None,
            Self::IndexedDb => Some(Place::IndexedDb),
            Self::Opfs => Some(Place::Opfs),
            Self::None => return Ok(None),
        };
        Ok(Some(Rc::new(BrowserHome::open(place).await?)))
    }
}

/// As JavaScript calls a place.
pub(crate) fn name(place: Place) -> &'static str {
    match place {
        Place::IndexedDb => "indexeddb",
        Place::Opfs => "opfs",
    }
}

/// Tells of what does not stop the work.
#[derive(Clone)]
pub(crate) struct Warnings(pub(crate) Function);

#[derive(Serialize)]
struct Warning {
    code: &'static str,
    message: String,
}

impl Warnings {
    pub(crate) fn tell(&self, code: &'static str, message: String) {
        log::warn!("{message}");
        tell(&self.0, &Warning { code, message });
    }

    /// Tells why something is not kept, if so.
    pub(crate) async fn check(&self, library: &Library, home: Option<&BrowserHome>) {
        if let Some(problem) = library.take_problem() {
            let (code, message) = describe(&problem, home).await;
            self.tell(code, message);
        }
    }
}

/// A failure to keep something, as a code and in words that say what may be done.
pub(crate) async fn describe(error: &store::Error, home: Option<&BrowserHome>) -> (&'static str, String) {
    match error {
        store::Error::Full { needed, free, .. } => {
            let free = free.map_or_else(String::new, |free| format!(", {} are free", size(free)));
            let kept = match home {
                Some(home) => home.list().await.unwrap_or_default(),
                None => Vec::new(),
            };
            let kept: Vec<_> = kept.iter().filter(|kept| kept.bytes > 0).collect();
            let kept = match &kept[..] {
                [] => "there is nothing of this page that cache.remove could remove".to_owned(),
                kept => {
                    let each = kept.iter().map(|kept| format!("{} ({})", kept.identity.location, size(kept.bytes)));
                    format!("cache.remove makes room; kept are {}", each.collect::<Vec<_>>().join(", "))
                }
            };
            ("quota", format!("The browser's storage is full: {} more are needed{free}; {kept}.", size(*needed)))
        }
        store::Error::Network { .. } | store::Error::UnknownSize { .. } => ("network", error.to_string()),
        store::Error::Changed { .. } | store::Error::Unlike { .. } => ("integrity", error.to_string()),
        store::Error::Incomplete { .. } | store::Error::Manifest { .. } => ("invalid_request", error.to_string()),
        store::Error::Busy { .. } => ("busy", error.to_string()),
        _ => ("unsupported", error.to_string()),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{bytes} bytes"),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A model's files behind what is kept of them.
pub(crate) struct Opened {
    pub(crate) files: Files,
    pub(crate) home: Option<Rc<BrowserHome>>,
    /// Says if the server turns out to have another version, which nobody need wait for.
    pub(crate) changed: oneshot::Receiver<()>,
}

/// Opens a URL; without storage where it cannot be had, which is said.
pub(crate) async fn open(url: &str, wanted: &JsLoadOptions, warnings: &Warnings) -> Result<Opened, Failure> {
    let home = match wanted.cache.open().await {
        Ok(home) => home,
        Err(error) => {
            let (code, words) = describe(&error, None).await;
            warnings.tell(code, format!("Nothing will be kept for the next visit: {words}"));
            None
        }
    };
    let JsLoadOptions { token, manifest, .. } = wanted.clone();
    let options = OpenOptions { home: home.clone().map(|home| home as Rc<dyn Home>), token, manifest, ..OpenOptions::default() };
    let files = Files::open_with(url, &options).await?;
    let (tell, changed) = oneshot::channel();
    let (library, warnings) = (files.library.clone(), warnings.clone());
    wasm_bindgen_futures::spawn_local(async move {
        match library.revalidate().await {
            // Who loads it hears of it and begins anew.
            Err(error @ store::Error::Changed { .. }) if tell.send(()).is_err() => {
                warnings.tell("integrity", format!("{error}. The new version will be loaded at the next visit."));
            }
            Err(error) => log::info!("{error}"),
            Ok(()) => {}
        }
    });
    Ok(Opened { files, home, changed })
}
