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
        let whole = Self::new(directory, options.clone())?;
        let (Budget::Most(bytes) | Budget::About(bytes)) = budget else { return Ok(whole) };
        if whole.gpu_bytes() <= bytes {
            return Ok(whole);
        }
        let is_strict = matches!(budget, Budget::Most(_));
        if options.slots.is_some() || !whole.is_sparse() {
            return if is_strict { Err(Error::Budget { needed: whole.gpu_bytes(), budget: bytes }) } else { Ok(whole) };
        }
        let least = Self::new(directory, Options { slots: Some(whole.least_slots()), ..options.clone() })?;
        let spare = match bytes.checked_sub(least.gpu_bytes()) {
            Some(spare) => spare,
            None if is_strict => return Err(Error::Budget { needed: least.gpu_bytes(), budget: bytes }),
            None => 0,
        };
        let more = u32::try_from(spare / least.slot_bytes().max(1)).unwrap_or(u32::MAX);
        Self::new(directory, Options { slots: Some(least.n_slots.saturating_add(more)), ..options })
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
