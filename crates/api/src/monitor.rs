//! A model as it is seen from outside while it works: where its experts are, what it has cost, what happens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::{Engine, Experts, Gpu, PagingEvent};
use serde::Serialize;
use store::{Library, Run};

use crate::{Error, Files, FillProgress, Stats};

/// Where an expert is, by the nearest place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Gpu,
    /// In host memory, where some is given to experts.
    Ram,
    /// Kept on this machine.
    Disk,
    Network,
}

/// All experts, by layer; nothing of a dense model.
#[derive(Clone, Debug, Serialize)]
pub struct ExpertMap {
    /// How much each was used of late: 0 for never, up to 17.8 for by every token.
    pub heat: Vec<Vec<f32>>,
    pub places: Vec<Vec<Place>>,
}

/// Bytes that came from or went to each tier since the model was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "bytes")]
pub struct TierBytes {
    pub network: u64,
    pub disk: u64,
    /// Host memory, where some is given to experts.
    pub ram: u64,
    /// Weights, uploaded.
    pub gpu: u64,
}

/// What happens to a model's bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LiveEvent {
    Paging(PagingEvent),
    /// They have grown.
    Bytes(TierBytes),
    Fill(FillProgress),
}

/// Is told of everything. The engine waits for it, so it should be quick.
pub type LiveListener = Rc<dyn Fn(LiveEvent)>;

/// Looks at one model. Clones look at the same.
#[derive(Clone)]
pub struct Monitor(Rc<Inner>);

struct Inner {
    experts: Experts,
    gpu: Gpu,
    library: Rc<Library>,
    /// Where each expert lies in the files, `[n_layers, n_experts]`.
    runs: Vec<Vec<Run>>,
    /// The files.
    whole: Vec<Run>,
    fixed: Fixed,
    listener: RefCell<Option<LiveListener>>,
    told: Cell<TierBytes>,
}

/// What does not change while a model is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    pub(crate) header_bytes: u64,
    pub(crate) dense_bytes: u64,
    pub(crate) bytes_per_expert: u64,
    pub(crate) is_remote: bool,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("experts", &self.0.experts).field("fixed", &self.0.fixed).finish_non_exhaustive()
    }
}

impl Monitor {
    pub(crate) async fn new(engine: &Engine, files: &Files) -> Result<Self, Error> {
        let (model, experts) = (engine.model(), engine.experts().clone());
        let run = |u: model::Upload| Run { shard: u.shard, range: u.start..u.start + u.bytes };
        let all = (0..experts.n_layers()).flat_map(|layer| (0..experts.n_experts()).map(move |expert| (layer, expert)));
        let runs = all.map(|(layer, expert)| model.expert_uploads(layer, expert, 0).into_iter().map(run).collect()).collect();
        let mut whole = Vec::new();
        for (shard, source) in files.library.shards().iter().enumerate() {
            whole.push(Run { shard, range: 0..source.size().await? });
        }
        let fixed = Fixed {
            header_bytes: files.header_bytes,
            dense_bytes: model.bytes.dense,
            bytes_per_expert: model.bytes.per_expert,
            is_remote: files.library.shards().iter().any(|shard| shard.is_remote()),
        };
        Ok(Self(Rc::new(Inner {
            experts,
            gpu: engine.gpu().clone(),
            library: files.library.clone(),
            runs,
            whole,
            fixed,
            listener: RefCell::default(),
            told: Cell::default(),
        })))
    }

    pub fn stats(&self) -> Stats {
        let (gpu, traffic, tiers) = (self.0.gpu.counters(), self.library().traffic(), self.tiers());
        let (experts, held) = (self.experts(), self.library().bytes_in_memory());
        experts.with_paging(|paging| Stats::new(experts, paging, &gpu, traffic, tiers, held, self.fixed()))
    }

    pub fn tiers(&self) -> TierBytes {
        let fixed = self.fixed();
        let gpu = self.experts().with_paging(|paging| paging.dense_bytes + paging.expert_bytes);
        let ram = self.library().bytes_from_memory();
        match fixed.is_remote {
            true => TierBytes { network: self.library().traffic().bytes, disk: self.library().bytes_served(), ram, gpu },
            false => TierBytes { network: 0, disk: (fixed.header_bytes + gpu).saturating_sub(ram), ram, gpu },
        }
    }

    pub fn map(&self) -> ExpertMap {
        let n = (self.experts().n_experts() as usize).max(1);
        let heat = self.experts().heat();
        let places: Vec<Place> = (0..heat.len()).map(|i| self.place((i / n) as u32, (i % n) as u32)).collect();
        ExpertMap { heat: heat.chunks(n).map(<[f32]>::to_vec).collect(), places: places.chunks(n).map(<[Place]>::to_vec).collect() }
    }

    fn place(&self, layer: u32, expert: u32) -> Place {
        match self.experts().check(layer, expert) {
            Ok(true) => Place::Gpu,
            _ if self.is_in_memory(layer, expert) => Place::Ram,
            _ if self.is_here(layer, expert) => Place::Disk,
            _ => Place::Network,
        }
    }

    /// Tells everything that happens from now on, in place of whoever was told before.
    pub fn listen(&self, listener: Option<LiveListener>) {
        // The engine's books are this monitor's: they must not own each other.
        let inner = Rc::downgrade(&self.0);
        let of_engine = listener.is_some().then(|| {
            Rc::new(move |event: &PagingEvent| {
                let Some(monitor) = inner.upgrade().map(Self) else { return };
                monitor.tell(LiveEvent::Paging(event.clone()));
                let bytes = monitor.tiers();
                if monitor.0.told.replace(bytes) != bytes {
                    monitor.tell(LiveEvent::Bytes(bytes));
                }
            }) as engine::Listener
        });
        self.experts().listen(of_engine);
        *self.0.listener.borrow_mut() = listener;
    }

    pub(crate) fn tell(&self, event: LiveEvent) {
        // Not borrowed while it is called, as it may call `listen`.
        let listener = self.0.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(event);
        }
    }

    pub(crate) fn experts(&self) -> &Experts {
        &self.0.experts
    }

    pub(crate) fn library(&self) -> &Rc<Library> {
        &self.0.library
    }

    pub(crate) fn fixed(&self) -> &Fixed {
        &self.0.fixed
    }

    /// Where an expert lies in the files.
    pub(crate) fn runs(&self, layer: u32, expert: u32) -> &[Run] {
        let i = layer as usize * self.experts().n_experts() as usize + expert as usize;
        self.0.runs.get(i).map_or(&[], Vec::as_slice)
    }

    /// The files, from their starts to their ends.
    pub(crate) fn whole(&self) -> &[Run] {
        &self.0.whole
    }

    /// Whether an expert can be had without a network.
    pub(crate) fn is_here(&self, layer: u32, expert: u32) -> bool {
        let is_kept = |run: &Run| self.library().bytes_here(run) == run.range.end - run.range.start;
        self.runs(layer, expert).iter().all(|run| is_kept(run) || self.library().is_in_memory(run))
    }

    fn is_in_memory(&self, layer: u32, expert: u32) -> bool {
        self.runs(layer, expert).iter().all(|run| self.library().is_in_memory(run))
    }

    /// Lets experts stay in host memory too, up to so many bytes: where the GPU has room for all of them, none.
    pub(crate) fn hold_in_memory(&self, bytes: u64) {
        let fixed = self.fixed();
        if self.experts().n_slots() >= self.experts().n_experts() || bytes < fixed.bytes_per_expert {
            return;
        }
        let (experts, n) = (self.experts().clone(), self.experts().n_experts());
        let all = (0u32..).zip(&self.0.runs);
        let (owners, runs): (Vec<u32>, Vec<Run>) = all.flat_map(|(i, runs)| runs.iter().map(move |run| (i, run.clone()))).unzip();
        let is_on_gpu = move |nth: usize| owners.get(nth).is_some_and(|&i| matches!(experts.check(i / n, i % n), Ok(true)));
        self.library().hold_in_memory(bytes, runs, is_on_gpu);
    }
}
