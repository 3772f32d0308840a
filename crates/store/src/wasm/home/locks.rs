//! Web Locks: which parts of a file some tab fetches now, who appends to one and who imports it.
//!
//! The browser gives up a tab's locks when it ends, however it ends. Within a tab a lock on a part is shared: there, flights
//! tell readers apart. Where there are no Web Locks nobody waits; then two tabs may fetch the same bytes twice, which harms
//! nothing else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, Shared, select};
use js_sys::{Function, Promise};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::cache::Claim;
use crate::platform::sleep;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["navigator", "locks"])]
    fn request(name: &str, callback: &Function) -> Result<Promise, JsValue>;
}

/// What one lock covers.
const PART_BYTES: u64 = 4 << 20;

/// A lock of the browser, asked for; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// Ends the promise for whose time the browser holds it.
    release: RefCell<Option<Function>>,
    /// Dropped once the browser has given it, or refuses to.
    asking: RefCell<Option<oneshot::Sender<()>>>,
    answered: Shared<oneshot::Receiver<()>>,
}

impl Lock {
    pub(super) fn ask(name: &str) -> Rc<Self> {
        let (asking, answered) = oneshot::channel();
        let lock = Rc::new(Self { release: RefCell::default(), asking: RefCell::new(Some(asking)), answered: answered.shared() });
        let wanted = Rc::downgrade(&lock);
        let hold = Closure::once_into_js(move || match wanted.upgrade() {
            Some(lock) => {
                let held = Promise::new(&mut |resolve, _| drop(lock.release.replace(Some(resolve))));
                lock.asking.take();
                held.into()
            }
            // Nobody wants it any more.
            None => JsValue::UNDEFINED,
        });
        let held = request(name, hold.unchecked_ref());
        let wanted = Rc::downgrade(&lock);
        spawn_local(async move {
            let over = match held {
                Ok(held) => JsFuture::from(held).await,
                Err(thrown) => Err(thrown),
            };
            if let Err(refused) = over
                && let Some(lock) = wanted.upgrade()
            {
                log::debug!("no Web Locks: {}", super::words(&refused));
                lock.asking.take();
            }
        });
        lock
    }

    /// Waits until it is had, or cannot be had.
    pub(super) async fn granted(&self) {
        let _ = self.answered.clone().await;
    }

    /// The same, for so long at most; false if it is not had.
    pub(super) async fn granted_within(&self, time: Duration) -> bool {
        matches!(select(self.answered.clone(), pin!(sleep(time))).await, Either::Left(_))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

/// The parts of one file.
#[derive(Debug)]
pub(super) struct Claims {
    /// What the locks' names begin with.
    prefix: String,
    locks: RefCell<HashMap<u64, Weak<Lock>>>,
}

impl Claims {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, locks: RefCell::default() }
    }

    /// Takes the locks in ascending order, so that no two tabs wait for each other.
    pub(super) async fn claim(&self, range: Range<u64>) -> Claim {
        let mut held = Vec::new();
        for part in range.start / PART_BYTES..range.end.div_ceil(PART_BYTES) {
            let lock = self.lock(part);
            lock.granted().await;
            held.push(lock);
        }
        Rc::new(held)
    }

    fn lock(&self, part: u64) -> Rc<Lock> {
        let mut locks = self.locks.borrow_mut();
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(&part).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Lock::ask(&format!("{} {part}", self.prefix));
        locks.insert(part, Rc::downgrade(&lock));
        lock
    }
}
