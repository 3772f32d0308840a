//! Who works with the model: one call at a time, and the background fill while there is none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use api::{Fill, Model, Monitor};
use engine::Cancel;
use futures_channel::oneshot;
use futures_util::future::select;
use gloo_timers::future::sleep;
use store::{BrowserHome, Library};

use crate::failure::Failure;
use crate::kept::Warnings;

/// How long the fill waits after a failure before it tries again by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between checks, for everybody else.
const PAUSE: Duration = Duration::from_millis(5);

/// Where the model lies when nobody works with it.
pub(crate) struct Desk {
    model: Cell<Option<Model>>,
    /// While the fill has the model.
    filling: RefCell<Option<Filling>>,
    is_closed: Cell<bool>,
    pub(crate) monitor: Monitor,
    pub(crate) fill: Fill,
    library: Rc<Library>,
    home: Option<Rc<BrowserHome>>,
    warnings: Warnings,
}

struct Filling {
    cancel: Cancel,
    /// The call that waits for the model.
    next: Option<oneshot::Sender<Model>>,
}

impl Desk {
    /// A desk whose fill goes on as long as it is open.
    pub(crate) fn open(model: Model, library: Rc<Library>, home: Option<Rc<BrowserHome>>, warnings: Warnings) -> Rc<Self> {
        let (monitor, fill) = (model.monitor().clone(), model.fill().clone());
        let model = Cell::new(Some(model));
        let (filling, is_closed) = (RefCell::default(), Cell::default());
        let desk = Rc::new(Self { model, filling, is_closed, monitor, fill, library, home, warnings });
        wasm_bindgen_futures::spawn_local(desk.clone().keep_filling());
        desk
    }

    /// Lends the model to `work`, which nobody else may have meanwhile.
    pub(crate) async fn lend<T>(&self, work: impl AsyncFnOnce(&mut Model) -> Result<T, api::Error>) -> Result<T, Failure> {
        let mut model = self.take().await?;
        let done = work(&mut model).await;
        self.give_back(model).await;
        Ok(done?)
    }

    /// The model, which the fill gives up for it.
    async fn take(&self) -> Result<Model, Failure> {
        if let Some(model) = self.model.take() {
            return Ok(model);
        }
        let given = match &mut *self.filling.borrow_mut() {
            Some(Filling { cancel, next: next @ None }) => {
                cancel.cancel();
                let (giver, given) = oneshot::channel();
                *next = Some(giver);
                given
            }
            _ => return Err(Failure::Busy),
        };
        given.await.map_err(|_| Failure::Busy)
    }

    async fn give_back(&self, model: Model) {
        self.model.set(Some(model));
        self.fill.wake();
        self.warnings.check(&self.library, self.home.as_deref()).await;
    }

    /// Ends the fill, and with it what it holds.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.monitor.listen(None);
        self.fill.pause();
    }

    async fn keep_filling(self: Rc<Self>) {
        while !self.is_closed.get() {
            let filled = self.fill_some().await;
            self.warnings.check(&self.library, self.home.as_deref()).await;
            match filled {
                Ok(true) => {}
                Ok(false) => self.fill.changed().await,
                Err(error) => {
                    log::warn!("the background fill waits: {error}");
                    select(Box::pin(self.fill.changed()), Box::pin(sleep(PATIENCE))).await;
                    self.fill.retry();
                }
            }
        }
    }

    /// Fills slots if the model is here, else the cache; then checks what is kept. False if there is nothing to do now.
    async fn fill_some(&self) -> Result<bool, api::Error> {
        if let Some(mut model) = self.model.take() {
            let cancel = Cancel::default();
            self.filling.replace(Some(Filling { cancel: cancel.clone(), next: None }));
            let warmed = self.fill.warm(&mut model, &cancel).await;
            let next = self.filling.take().and_then(|filling| filling.next);
            // A call that was aborted meanwhile does not take it.
            self.model.set(match next {
                Some(next) => next.send(model).err(),
                None => Some(model),
            });
            if warmed? {
                return Ok(true);
            }
        }
        if self.fill.keep().await? {
            return Ok(true);
        }
        self.check_some().await
    }

    /// Checks sums while nobody works with the model, and no longer at a time than anybody would notice.
    async fn check_some(&self) -> Result<bool, api::Error> {
        let model = self.model.take();
        let is_free = model.is_some();
        self.model.set(model);
        let checked = if is_free { self.fill.check().await } else { Ok(false) };
        if let Err(error) = &checked {
            let words = "What was kept of it is forgotten; what this visit has loaded of it may be wrong: load the model again.";
            self.warnings.tell(error.code(), format!("{error}. {words}"));
        }
        sleep(PAUSE).await;
        checked
    }
}
