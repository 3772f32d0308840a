//! The background fill: what nobody has asked for yet is brought in hot order, first into free slots of the GPU, then to disk,
//! until all of the model is kept; and what is kept is held against the sums that it should have.
//!
//! Before the first token nothing is fetched for it, so that an answer begins after the fewest bytes; but what an earlier
//! visit has kept goes to the GPU at once. Demand comes first: the store pauses what is fetched meanwhile, and whoever wants
//! the model cancels [`Fill::warm`].

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::{Poll, Waker};

use engine::{Cancel, Urgency};
use serde::Serialize;
use store::{Priority, Run};
use web_time::{Duration, Instant};

use crate::{Error, LiveEvent, Model, Monitor};

/// What goes to the GPU before somebody else may have the model, if an expert is not larger.
const WARM_BYTES: u64 = 16 << 20;
/// What is kept before it is asked anew what is hottest.
const KEEP_BYTES: u64 = 32 << 20;
/// Left free where models are kept: conversations and other programs need room, too.
const SPARE_BYTES: u64 = 64 << 20;
/// What the gaps between experts are read by.
const STEP_BYTES: u64 = 8 << 20;
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FillState {
    /// For the first token, before which nothing is fetched that it does not need.
    Waiting,
    Running,
    Paused,
    /// What came could not be kept or fetched; it is tried again by who resumes it, or after an answer if there is more room.
    Stopped,
    Done,
}

/// How far the fill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "fill")]
pub struct FillProgress {
    pub state: FillState,
    /// Bytes of the model's files that are kept on this machine; where nothing is kept, bytes of weights on the GPU.
    pub loaded: u64,
    /// All of the files; where nothing is kept, what the GPU has room for.
    pub total: u64,
    /// Whether all of the files were held against the SHA-256 that a manifest or the server says.
    pub verified: bool,
}

/// The fill of one model. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Fill(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    monitor: Monitor,
    is_paused: Cell<bool>,
    is_stopped: Cell<bool>,
    /// The least room that there was since not all could be kept.
    least_room: Cell<Option<u64>>,
    /// Ends what is being brought to the GPU.
    warming: RefCell<Option<Cancel>>,
    has_changed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    told: Cell<Option<(Instant, FillProgress)>>,
}

impl Fill {
    pub(crate) fn new(monitor: Monitor) -> Self {
        Self(Rc::new(Inner {
            monitor,
            is_paused: Cell::default(),
            is_stopped: Cell::default(),
            least_room: Cell::default(),
            warming: RefCell::default(),
            has_changed: Cell::default(),
            waker: RefCell::default(),
            told: Cell::default(),
        }))
    }

    /// Stops bytes that nobody waits for.
    pub fn pause(&self) {
        self.0.is_paused.set(true);
        if let Some(warming) = &*self.0.warming.borrow() {
            warming.cancel();
        }
        self.wake();
        self.tell(true);
    }

    /// Goes on after [`Fill::pause`], or tries again after it has stopped.
    pub fn resume(&self) {
        self.0.is_paused.set(false);
        self.retry();
        self.tell(true);
    }

    /// Tries again after it has stopped.
    pub fn retry(&self) {
        self.0.is_stopped.set(false);
        self.wake();
    }

    /// Tries again if it has stopped and there is room for a step more than there was; that there is room alone says little, as browsers
    /// guess it.
    pub(crate) async fn retry_with_room(&self) {
        let (true, Some(least)) = (self.0.is_stopped.get(), self.0.least_room.get()) else {
            return;
        };
        let step = bytes(&self.to_keep());
        if self.0.monitor.library().free_bytes().await.is_some_and(|free| free >= least.saturating_add(step)) {
            self.retry();
        }
    }

    /// Ends [`Fill::changed`]: there may be something to do.
    pub fn wake(&self) {
        self.0.has_changed.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }

    /// Waits for a [`Fill::wake`] since the last one that was waited for.
    pub async fn changed(&self) {
        poll_fn(|context| match self.0.has_changed.take() {
            true => Poll::Ready(()),
            false => {
                self.0.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }

    pub fn progress(&self) -> FillProgress {
        let (library, fixed) = (self.0.monitor.library(), self.0.monitor.fixed());
        let (loaded, total) = match library.keeps() {
            true => {
                let whole = self.0.monitor.whole();
                (whole.iter().map(|file| library.bytes_here(file)).sum(), whole.iter().map(|file| file.range.end).sum())
            }
            false => {
                let experts = self.0.monitor.experts();
                let n_placed = experts.n_placed() as u64;
                let n_slots = experts.n_layers() as u64 * u64::from(experts.n_slots().min(experts.n_experts()));
                (fixed.dense_bytes + n_placed * fixed.bytes_per_expert, fixed.dense_bytes + n_slots * fixed.bytes_per_expert)
            }
        };
        let is_warming = self.0.warming.borrow().is_some();
        let state = match () {
            () if loaded == total && !is_warming && self.0.monitor.experts().to_fill().is_empty() => FillState::Done,
            () if self.0.is_paused.get() => FillState::Paused,
            () if self.0.is_stopped.get() => FillState::Stopped,
            () if !self.may_fetch() && !is_warming && self.to_warm().is_empty() => FillState::Waiting,
            () => FillState::Running,
        };
        FillProgress { state, loaded, total, verified: library.is_checked() }
    }

    /// Brings some experts into free slots. False if there is nothing to bring now, or if `cancel` ended it, which
    /// pausing does too.
    ///
    /// # Errors
    /// What the medium or the GPU reports; the fill has then stopped.
    pub async fn warm(&self, model: &mut Model, cancel: &Cancel) -> Result<bool, Error> {
        let wanted = self.to_warm();
        if wanted.is_empty() || self.is_idle() {
            return Ok(false);
        }
        self.0.warming.replace(Some(cancel.clone()));
        let done = model.engine.fetch(&wanted, Urgency::Background, cancel).await;
        self.0.warming.take();
        self.0.is_stopped.set(done.is_err());
        self.tell(self.to_warm().is_empty());
        Ok(done?)
    }

    /// Fetches some of what is not kept. False if there is nothing to fetch now. Pausing ends it.
    ///
    /// # Errors
    /// What the network reports; the fill has then stopped.
    pub async fn keep(&self) -> Result<bool, Error> {
        let library = self.0.monitor.library();
        if self.is_idle() || !self.may_fetch() || !library.keeps() {
            return Ok(false);
        }
        let missing = self.to_keep();
        if missing.is_empty() {
            return Ok(false);
        }
        if !library.has_room(bytes(&missing) + SPARE_BYTES).await {
            self.stop_for_room().await;
            return Ok(false);
        }
        let mut sink = |_: usize, _: &[u8]| {
            self.tell(false);
            if self.0.is_paused.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let read = library.read_runs(&missing, Priority::Background, &mut sink).await;
        if self.0.is_paused.get() {
            return Ok(false);
        }
        // What was fetched and not kept would be fetched again.
        library.flush().await;
        let is_kept = missing.iter().all(|run| library.missing(run).is_empty());
        match is_kept {
            true => self.0.least_room.set(None),
            false => self.stop_for_room().await,
        }
        self.0.is_stopped.set(read.is_err() || !is_kept);
        self.tell(true);
        read?;
        Ok(is_kept)
    }

    async fn stop_for_room(&self) {
        let room = self.0.monitor.library().free_bytes().await;
        self.0.least_room.set(room.map(|room| self.0.least_room.get().map_or(room, |least| least.min(room))));
        self.0.is_stopped.set(true);
        self.tell(true);
    }

    /// Holds some of what is kept whole against the SHA-256 that a manifest or the server says, for some milliseconds. False if there is
    /// nothing to check now.
    ///
    /// # Errors
    /// [`store::Error::Unlike`] if a file is another one.
    pub async fn check(&self) -> Result<bool, Error> {
        if self.0.is_paused.get() {
            return Ok(false);
        }
        let library = self.0.monitor.library();
        let was_checked = library.is_checked();
        let checked = library.check_some().await;
        self.tell(checked.is_err() || library.is_checked() != was_checked);
        Ok(checked?)
    }

    fn is_idle(&self) -> bool {
        self.0.is_paused.get() || self.0.is_stopped.get()
    }

    fn may_fetch(&self) -> bool {
        self.0.monitor.experts().with_paging(|paging| paging.tokens > 0)
    }

    /// Experts for free slots, the hottest first. Where they can be kept they are fetched for that alone: who wants the model ends what is
    /// brought to the GPU, and bytes on their way would come twice.
    fn to_warm(&self) -> Vec<(u32, u32)> {
        let monitor = &self.0.monitor;
        let most = (WARM_BYTES / monitor.fixed().bytes_per_expert.max(1)).max(1) as usize;
        let may_fetch = self.may_fetch() && !monitor.library().keeps();
        let wanted = monitor.experts().to_fill().into_iter();
        wanted.filter(|&(layer, expert)| may_fetch || monitor.is_here(layer, expert)).take(most).collect()
    }

    /// Runs that are not here: of the hottest experts, and when all experts are here, whatever else there is.
    fn to_keep(&self) -> Vec<Run> {
        let monitor = &self.0.monitor;
        let library = monitor.library();
        let mut bytes = 0;
        let has_room = |run: &Run| {
            let had_room = bytes < KEEP_BYTES;
            bytes += run.range.end - run.range.start;
            had_room
        };
        let order = monitor.experts().in_hot_order().into_iter();
        let of_experts = order.flat_map(|(layer, expert)| monitor.runs(layer, expert)).flat_map(|run| library.missing(run));
        let runs: Vec<Run> = of_experts.take_while(has_room).collect();
        if !runs.is_empty() {
            return runs;
        }
        let steps = monitor.whole().iter().flat_map(|file| library.missing(file)).flat_map(steps);
        steps.take((KEEP_BYTES / STEP_BYTES) as usize).collect()
    }

    /// Tells how far it is, now or when it was not told for a while.
    fn tell(&self, now: bool) {
        let last = self.0.told.get();
        if !now && last.is_some_and(|(at, _)| at.elapsed() < TOLD_EVERY) {
            return;
        }
        let progress = self.progress();
        self.0.told.set(Some((Instant::now(), progress)));
        if last.is_none_or(|(_, last)| last != progress) {
            self.0.monitor.tell(LiveEvent::Fill(progress));
        }
    }
}

fn bytes(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.range.end - run.range.start).sum()
}

/// A run cut into pieces that may come out of order.
fn steps(run: Run) -> impl Iterator<Item = Run> {
    let (shard, end) = (run.shard, run.range.end);
    run.range.step_by(STEP_BYTES as usize).map(move |start| Run { shard, range: start..end.min(start + STEP_BYTES) })
}
