//! Who works with the model: one call at a time, in the order in which they came, and the background fill while there is none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use api::{Fill, Model, Monitor};
use engine::Cancel;
use futures_channel::oneshot;
use futures_util::future::select;
use gloo_timers::future::sleep;
use store::{BrowserHome, Library};

use crate::abort::Abort;
use crate::failure::Failure;
use crate::kept::Warnings;

/// How long the fill waits after a failure before it tries again by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls that may wait.
const MOST_WAITING: usize = 16;

/// Between checks, for everybody else.
const PAUSE: Duration = Duration::from_millis(5);

/// Where the model lies when nobody works with it.
pub(crate) struct Desk {
    model: Cell<Option<Model>>,
    /// Asks whoever has the model, a call or the fill, to give it back.
    holder: RefCell<Holder>,
    waiting: RefCell<VecDeque<oneshot::Sender<Model>>>,
    is_closed: Cell<bool>,
    pub(crate) monitor: Monitor,
    pub(crate) fill: Fill,
    library: Rc<Library>,
    home: Option<Rc<BrowserHome>>,
    warnings: Warnings,
}

#[derive(Default)]
enum Holder {
    #[default]
    Nobody,
    Call(Cancel),
    Fill(Cancel),
}

/// What a call does while another one is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Wait,
    /// Fails, unless the other one was stopped already.
    Fail,
}

impl Desk {
    /// A desk whose fill goes on as long as it is open.
    pub(crate) fn open(model: Model, library: Rc<Library>, home: Option<Rc<BrowserHome>>, warnings: Warnings) -> Rc<Self> {
        let (monitor, fill) = (model.monitor().clone(), model.fill().clone());
        let model = Cell::new(Some(model));
        let (holder, waiting, is_closed) = (RefCell::default(), RefCell::default(), Cell::default());
        let desk = Rc::new(Self { model, holder, waiting, is_closed, monitor, fill, library, home, warnings });
        wasm_bindgen_futures::spawn_local(desk.clone().keep_filling());
        desk
    }

    /// Lends the model to `work`, which nobody else may have meanwhile.
    pub(crate) async fn lend<T>(
        &self,
        abort: &Abort,
        meanwhile: Meanwhile,
        work: impl AsyncFnOnce(&mut Model) -> Result<T, api::Error>,
    ) -> Result<T, Failure> {
        let mut model = self.take(abort, meanwhile).await?;
        self.holder.replace(Holder::Call(abort.cancel().clone()));
        let done = work(&mut model).await;
        self.give_back(model);
        self.fill.wake();
        self.warnings.check(&self.library, self.home.as_deref()).await;
        Ok(done?)
    }

    async fn take(&self, abort: &Abort, meanwhile: Meanwhile) -> Result<Model, Failure> {
        if let Some(model) = self.model.take() {
            return Ok(model);
        }
        let mut given = {
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|giver| !giver.is_canceled());
            let makes_way = waiting.is_empty()
                && match &*self.holder.borrow() {
                    Holder::Nobody => false,
                    Holder::Call(cancel) => cancel.is_cancelled(),
                    Holder::Fill(cancel) => {
                        cancel.cancel();
                        true
                    }
                };
            if waiting.len() >= MOST_WAITING || meanwhile == Meanwhile::Fail && !makes_way {
                return Err(Failure::Busy { waiting: waiting.len() });
            }
            let (giver, given) = oneshot::channel();
            waiting.push_back(giver);
            given
        };
        match abort.guard(&mut given).await {
            Some(model) => model.map_err(|_| Failure::Busy { waiting: 0 }),
            None => {
                // It may have come just now.
                if let Ok(Some(model)) = given.try_recv() {
                    self.give_back(model);
                }
                Err(Failure::Aborted)
            }
        }
    }

    /// Gives the model to who has waited longest. A call that was aborted meanwhile does not take it.
    fn give_back(&self, mut model: Model) {
        self.holder.take();
        loop {
            let Some(next) = self.waiting.borrow_mut().pop_front() else { return self.model.set(Some(model)) };
            match next.send(model) {
                Ok(()) => return,
                Err(refused) => model = refused,
            }
        }
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
            self.holder.replace(Holder::Fill(cancel.clone()));
            let warmed = self.fill.warm(&mut model, &cancel).await;
            self.give_back(model);
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
