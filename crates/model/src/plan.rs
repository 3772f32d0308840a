//! How many experts a layer can have on the GPU at once.

use gguf::Directory;

use crate::{Error, Model, Options};

/// GPU memory that a model may take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Budget {
    /// Whatever there is.
    #[default]
    All,
    /// No more than that.
    Most(u64),
    /// No more than that if fewer slots can do it, else as little as it can do with.
    About(u64),
}

impl Model {
    /// Lays the model out with as many slots a layer as `budget` allows, or as the options ask for.
    ///
    /// # Errors
    /// [`Error::Budget`] if not even the fewest are within [`Budget::Most`], or not as many as the options ask for; else as [`Model::new`].
    pub fn within(directory: &Directory, options: Options, budget: Budget) -> Result<Self, Error> {
        let whole = Self::new(directory, options)?;
        let (Budget::Most(bytes) | Budget::About(bytes)) = budget else { return Ok(whole) };
        if whole.gpu_bytes() <= bytes {
            return Ok(whole);
        }
        let is_strict = matches!(budget, Budget::Most(_));
        if !whole.may_shrink() {
            return if is_strict { Err(Error::Budget { needed: whole.gpu_bytes(), budget: bytes }) } else { Ok(whole) };
        }
        let least = whole.with_slots(whole.least_slots())?;
        let spare = match bytes.checked_sub(least.gpu_bytes()) {
            Some(spare) => spare,
            None if is_strict => return Err(Error::Budget { needed: least.gpu_bytes(), budget: bytes }),
            None => 0,
        };
        let more = u32::try_from(spare / least.slot_bytes().max(1)).unwrap_or(u32::MAX);
        whole.with_slots(least.n_slots.saturating_add(more))
    }

    /// With a quarter fewer slots a layer, or as few as it can do with, for a GPU that has no memory for this one. `None` if nothing can be
    /// given up.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn smaller(&self) -> Result<Option<Self>, Error> {
        let n_slots = (self.n_slots - self.n_slots.div_ceil(4)).max(self.least_slots());
        (self.may_shrink() && n_slots < self.n_slots).then(|| self.with_slots(n_slots)).transpose()
    }

    /// With as few slots a layer as it can do with, unless somebody asked for more.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn smallest(&self) -> Result<Self, Error> {
        if self.may_shrink() { self.with_slots(self.least_slots()) } else { Ok(self.clone()) }
    }

    /// Whether nobody asked for so many slots.
    fn may_shrink(&self) -> bool {
        self.is_sparse() && self.options.slots.is_none()
    }

    /// Bytes of all buffers.
    pub fn gpu_bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.bytes).sum()
    }

    /// Bytes of all slots in all layers; a dense layer is one slot.
    pub fn slots_bytes(&self) -> u64 {
        let weights = self.layers.iter().flat_map(|l| [&l.gate, &l.up, &l.down]);
        weights.flat_map(|w| &w.parts).map(|p| p.quants.bytes + p.scales.bytes).sum()
    }

    /// Bytes of one slot in every layer.
    pub fn slot_bytes(&self) -> u64 {
        self.slots_bytes().div_ceil(u64::from(self.n_slots.max(1)))
    }
}
