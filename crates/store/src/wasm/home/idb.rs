//! IndexedDB as futures: requests, and transactions that are over only when the browser says so.
//!
//! The two crates that offer this hide what a cache must see: one has no durability, the other answers before the commit
//! and brings a second runtime.

use futures_channel::oneshot;
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, IdbDatabase, IdbFactory, IdbKeyRange, IdbObjectStore, IdbOpenDbRequest, IdbRequest, IdbTransaction};

#[wasm_bindgen]
extern "C" {
    /// `IDBDatabase`, with the third argument of `transaction`.
    #[wasm_bindgen(extends = IdbDatabase)]
    #[derive(Debug, Clone)]
    type Durable;

    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn transaction(this: &Durable, stores: &Array, mode: &str, options: &Object) -> Result<IdbTransaction, JsValue>;
}

/// One step from a version of the schema to the next.
pub(super) type Step = fn(&IdbDatabase) -> Result<(), JsValue>;

/// An open database. It makes way for a newer program in another tab.
#[derive(Debug)]
pub(super) struct Database {
    db: Durable,
    _making_way: Closure<dyn FnMut()>,
}

/// Why a database did not open.
#[derive(Debug)]
pub(super) enum Closed {
    /// A newer program has been here.
    Newer,
    /// A tab with an older program does not make way.
    Blocked,
    Failed(JsValue),
}

impl From<JsValue> for Closed {
    fn from(thrown: JsValue) -> Self {
        if name_of(&thrown) == "VersionError" { Self::Newer } else { Self::Failed(thrown) }
    }
}

impl Database {
    /// Opens `name`, after those of `steps` that it has not made yet; there is a version for each.
    pub(super) async fn open(name: &str, steps: &'static [Step]) -> Result<Self, Closed> {
        let factory = Reflect::get(&js_sys::global(), &"indexedDB".into())?;
        let factory: IdbFactory = factory.dyn_into().map_err(|_| JsValue::from_str("this browser offers no IndexedDB"))?;
        let request = factory.open_with_u32(name, steps.len() as u32)?;
        let upgrading = request.clone();
        let upgrade = Closure::<dyn FnMut(web_sys::IdbVersionChangeEvent)>::new(move |event: web_sys::IdbVersionChangeEvent| {
            let made = event.old_version() as usize;
            let done = upgrading.result().and_then(|db| {
                let db: IdbDatabase = db.dyn_into()?;
                steps.iter().skip(made).try_for_each(|step| step(&db))
            });
            if done.is_err()
                && let Some(transaction) = upgrading.transaction()
            {
                let _ = transaction.abort();
            }
        });
        request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
        let opened = Waiting::on_open(&request).result().await;
        request.set_onupgradeneeded(None);
        let db: Durable = opened?.ok_or(Closed::Blocked)?.unchecked_into();
        let closing = db.clone();
        let making_way = Closure::<dyn FnMut()>::new(move || closing.unchecked_ref::<IdbDatabase>().close());
        db.set_onversionchange(Some(making_way.as_ref().unchecked_ref()));
        Ok(Self { db, _making_way: making_way })
    }

    pub(super) fn read(&self, stores: &[&str]) -> Result<Transaction, JsValue> {
        self.begin(stores, "readonly", "default")
    }

    /// A transaction that is over only once all it wrote is on the disk.
    pub(super) fn write(&self, stores: &[&str]) -> Result<Transaction, JsValue> {
        self.begin(stores, "readwrite", "strict")
    }

    fn begin(&self, stores: &[&str], mode: &str, durability: &str) -> Result<Transaction, JsValue> {
        let stores: Array = stores.iter().map(|&store| JsValue::from(store)).collect();
        let options = Object::new();
        Reflect::set(&options, &"durability".into(), &durability.into())?;
        Ok(Transaction::new(self.db.transaction(&stores, mode, &options)?))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.db.set_onversionchange(None);
        self.db.close();
    }
}

/// A transaction; unless it is committed, it is undone.
#[derive(Debug)]
pub(super) struct Transaction {
    tx: IdbTransaction,
    ended: oneshot::Receiver<String>,
    _on_end: Closure<dyn FnMut(Event)>,
    is_over: bool,
}

impl Transaction {
    fn new(tx: IdbTransaction) -> Self {
        let (on_end, ended) = once();
        let listener = Some(on_end.as_ref().unchecked_ref());
        tx.set_oncomplete(listener);
        tx.set_onabort(listener);
        Self { tx, ended, _on_end: on_end, is_over: false }
    }

    pub(super) fn store(&self, name: &str) -> Result<IdbObjectStore, JsValue> {
        self.tx.object_store(name)
    }

    /// Waits until it is over.
    pub(super) async fn commit(mut self) -> Result<(), JsValue> {
        let ended = (&mut self.ended).await;
        self.is_over = true;
        if ended.is_ok_and(|event| event == "complete") {
            return Ok(());
        }
        Err(self.tx.error().map_or_else(|| JsValue::from_str("the transaction was given up"), JsValue::from))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.tx.set_oncomplete(None);
        self.tx.set_onabort(None);
        if !self.is_over {
            // One that only read, or has failed, is over already.
            let _ = self.tx.abort();
        }
    }
}

/// What a request gives.
pub(super) async fn done(request: IdbRequest) -> Result<JsValue, JsValue> {
    Waiting::on(&request).result().await.map(|result| result.unwrap_or(JsValue::UNDEFINED))
}

/// A request whose listeners go with it.
struct Waiting {
    request: IdbRequest,
    told: oneshot::Receiver<String>,
    _listener: Closure<dyn FnMut(Event)>,
}

impl Waiting {
    fn on(request: &IdbRequest) -> Self {
        let (listener, told) = once();
        request.set_onsuccess(Some(listener.as_ref().unchecked_ref()));
        request.set_onerror(Some(listener.as_ref().unchecked_ref()));
        Self { request: request.clone(), told, _listener: listener }
    }

    fn on_open(request: &IdbOpenDbRequest) -> Self {
        let waiting = Self::on(request);
        request.set_onblocked(request.onsuccess().as_ref());
        waiting
    }

    /// `None` if it is blocked.
    async fn result(mut self) -> Result<Option<JsValue>, JsValue> {
        if (&mut self.told).await.is_ok_and(|event| event == "blocked") {
            return Ok(None);
        }
        match self.request.error()? {
            Some(error) => Err(error.into()),
            None => self.request.result().map(Some),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.request.set_onsuccess(None);
        self.request.set_onerror(None);
        if let Some(request) = self.request.dyn_ref::<IdbOpenDbRequest>() {
            request.set_onblocked(None);
        }
    }
}

/// A listener, and the type of the first event that it hears.
fn once() -> (Closure<dyn FnMut(Event)>, oneshot::Receiver<String>) {
    let (tell, told) = oneshot::channel();
    let mut tell = Some(tell);
    let listener = Closure::new(move |event: Event| {
        if let Some(tell) = tell.take() {
            let _ = tell.send(event.type_());
        }
    });
    (listener, told)
}

/// The keys `[first, …]` whose second part is above `after`; all of them if that is `None`.
pub(super) fn keys_of(first: f64, after: Option<f64>) -> Result<IdbKeyRange, JsValue> {
    let lower = Array::of1(&first.into());
    if let Some(after) = after {
        lower.push(&after.into());
    }
    // An array sorts after every number and string.
    let upper = Array::of2(&first.into(), &Array::new());
    IdbKeyRange::bound_with_lower_open(&lower, &upper, true)
}

/// The key `[first, second]`.
pub(super) fn key(first: f64, second: &JsValue) -> JsValue {
    Array::of2(&first.into(), second).into()
}

/// Whether there was no room.
pub(super) fn is_full(thrown: &JsValue) -> bool {
    name_of(thrown) == "QuotaExceededError"
}

/// Of an exception.
pub(super) fn name_of(thrown: &JsValue) -> String {
    Reflect::get(thrown, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default()
}
