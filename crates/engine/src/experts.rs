//! The books of a model's experts: which are on the GPU, how much each was used, and what that cost.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Debug;
use std::rc::Rc;

use kernels::ops::Route;
use model::Model;

use crate::events::{Listener, PagingEvent};
use crate::policy::Choice;
use crate::residency::Residency;
use crate::{Error, Urgency};

/// What experts cost since the engine was made.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// Choices whose expert was on the GPU when its token came; a prefill chunk counts an expert once a layer.
    pub hits: u64,
    pub misses: u64,
    /// Tokens drawn that counted.
    pub tokens: u64,
    /// Passes over the layers or some of them that drew a token or would have, but for a miss.
    pub passes: u64,
    /// Of these, those that went back to a layer that had missed.
    pub replays: u64,
    /// Tokens that were guessed, and of these, those that were said.
    pub drafted: u64,
    pub draft_hits: u64,
    /// Seconds that answers waited for experts.
    pub stall_seconds: f64,
    /// Bytes of dense weights that were read.
    pub dense_bytes: u64,
    /// Bytes of experts that were read.
    pub expert_bytes: u64,
    /// Different experts that tokens used, all layers together.
    pub touched: HashSet<(u32, u32)>,
}

/// The books of one engine. Clones are the same books, so that others can look, and listen, while the engine works.
/// An expert is a layer and its number there; a dense model has none.
#[derive(Clone, Debug)]
pub struct Experts(Rc<Books>);

struct Books {
    /// In each layer.
    n_experts: u32,
    layers: RefCell<Vec<Residency>>,
    paging: RefCell<Paging>,
    listener: RefCell<Option<Listener>>,
}

impl Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").field("layers", &self.layers).field("paging", &self.paging).finish_non_exhaustive()
    }
}

impl Experts {
    /// All slots free.
    pub(crate) fn new(model: &Model) -> Self {
        let (n_experts, n_layers) = if model.is_sparse() { (model.config.experts.n, model.layers.len()) } else { (0, 0) };
        let layers = (0..n_layers).map(|_| Residency::new(n_experts, model.n_slots)).collect();
        Self(Rc::new(Books { n_experts, layers: RefCell::new(layers), paging: RefCell::default(), listener: RefCell::default() }))
    }

    pub fn n_layers(&self) -> usize {
        self.0.layers.borrow().len()
    }

    /// In each layer.
    pub fn n_experts(&self) -> u32 {
        self.0.n_experts
    }

    /// How many of a layer the GPU has room for; of a dense model, its one.
    pub fn n_slots(&self) -> u32 {
        self.0.layers.borrow().first().map_or(1, |layer| layer.n_slots() as u32)
    }

    /// What they cost so far.
    pub fn paging(&self) -> Paging {
        self.0.paging.borrow().clone()
    }

    /// The same, where it lies.
    pub fn with_paging<T>(&self, look: impl FnOnce(&Paging) -> T) -> T {
        look(&self.0.paging.borrow())
    }

    /// Whether an expert is on the GPU.
    ///
    /// # Errors
    /// A layer or an expert that the model does not have.
    pub fn check(&self, layer: u32, expert: u32) -> Result<bool, Error> {
        let layers = self.0.layers.borrow();
        let Some(residency) = layers.get(layer as usize) else {
            return Err(Error::Option { name: "layer", expected: "a layer that has experts", got: layer.to_string() });
        };
        if expert >= self.0.n_experts {
            return Err(Error::Option { name: "expert", expected: "an expert of the layer", got: expert.to_string() });
        }
        Ok(residency.has(expert))
    }

    /// How many are on the GPU.
    pub fn n_placed(&self) -> usize {
        self.0.layers.borrow().iter().map(|layer| layer.n_slots() - layer.n_free()).sum()
    }

    /// Whether no expert can be missed.
    pub fn is_whole(&self) -> bool {
        self.0.layers.borrow().iter().all(Residency::is_whole)
    }

    /// How much each was used of late, `[n_layers, n_experts]`; see [`crate::policy::Heat`].
    pub fn heat(&self) -> Vec<f32> {
        self.0.layers.borrow().iter().flat_map(Residency::heat).copied().collect()
    }

    /// Goes on from an earlier visit's heat, `[n_layers, n_experts]`. What cannot be heat counts for nothing.
    ///
    /// # Errors
    /// The heat of another model, by its number of values.
    pub fn restore_heat(&self, heat: &[f32]) -> Result<(), Error> {
        let mut layers = self.0.layers.borrow_mut();
        let expected = layers.len() * self.0.n_experts as usize;
        if heat.len() != expected {
            return Err(Error::Heat { expected, got: heat.len() });
        }
        for (residency, heat) in layers.iter_mut().zip(heat.chunks((self.0.n_experts as usize).max(1))) {
            residency.restore_heat(heat);
        }
        Ok(())
    }

    /// All of them, the hottest first.
    pub fn in_hot_order(&self) -> Vec<(u32, u32)> {
        let heat = self.heat();
        let mut order: Vec<usize> = (0..heat.len()).collect();
        order.sort_by(|&a, &b| heat[b].total_cmp(&heat[a]));
        let n = self.0.n_experts as usize;
        order.into_iter().map(|i| ((i / n) as u32, (i % n) as u32)).collect()
    }

    /// Those that are not on the GPU and for which a slot is free, the hottest first.
    pub fn to_fill(&self) -> Vec<(u32, u32)> {
        let layers = self.0.layers.borrow();
        let mut free: Vec<usize> = layers.iter().map(Residency::n_free).collect();
        let mut take = |&(layer, expert): &(u32, u32)| {
            let free = &mut free[layer as usize];
            let is_taken = *free > 0 && !layers[layer as usize].is_placed(expert);
            *free -= usize::from(is_taken);
            is_taken
        };
        self.in_hot_order().into_iter().filter(|expert| take(expert)).collect()
    }

    /// Tells everything that happens from now on, in place of whoever was told before.
    pub fn listen(&self, listener: Option<Listener>) {
        *self.0.listener.borrow_mut() = listener;
    }

    /// Costs a look where nobody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> PagingEvent) {
        // Not borrowed while it is called, as it may call `listen`.
        let listener = self.0.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(&event());
        }
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Paging)) {
        count(&mut self.0.paging.borrow_mut());
    }

    /// The GPU holds none of them any more, and another has so many slots a layer.
    pub(crate) fn vacate(&self, n_slots: u32) {
        let left: Vec<Vec<u32>> = self.0.layers.borrow_mut().iter_mut().map(|layer| layer.vacate(n_slots)).collect();
        for (layer, expert) in (0u32..).zip(left).flat_map(|(layer, left)| left.into_iter().map(move |expert| (layer, expert))) {
            self.tell(|| PagingEvent::Leave { layer, expert });
        }
    }

    pub(crate) fn has(&self, layer: usize, expert: u32) -> bool {
        self.0.layers.borrow()[layer].has(expert)
    }

    /// `[n_experts]`: a layer's row of the table that kernels read.
    pub(crate) fn table(&self, layer: usize) -> Vec<u32> {
        self.0.layers.borrow()[layer].table().to_vec()
    }

    /// A slot for an expert that is now fetched, see [`Residency::make_room`].
    pub(crate) fn make_room(&self, layer: usize, expert: u32, needed: &[u32], why: Urgency) -> Option<u32> {
        let (slot, left) = self.0.layers.borrow_mut()[layer].make_room(expert, needed)?;
        let layer = layer as u32;
        if let Some(expert) = left {
            self.tell(|| PagingEvent::Leave { layer, expert });
        }
        self.tell(|| PagingEvent::Fetch { layer, expert, why });
        Some(slot)
    }

    /// An expert of so many bytes was read into its slot, or could not be.
    pub(crate) fn settle(&self, layer: usize, expert: u32, slot: u32, bytes: u64, is_there: bool) {
        self.0.layers.borrow_mut()[layer].settle(expert, slot, is_there);
        let layer = layer as u32;
        self.tell(|| match is_there {
            true => PagingEvent::Arrive { layer, expert, bytes },
            false => PagingEvent::Abandon { layer, expert },
        });
    }

    /// One token's choices in one layer.
    pub(crate) fn used(&self, layer: usize, routes: &[Route]) {
        let chosen: Vec<Choice> = routes.iter().map(|r| Choice { expert: r.wanted, weight: r.weight }).collect();
        self.0.layers.borrow_mut()[layer].used(&chosen);
        self.count(|p| p.touched.extend(routes.iter().map(|r| (layer as u32, r.wanted))));
    }
}
