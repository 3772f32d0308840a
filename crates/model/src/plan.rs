//! How many experts a layer can have on the GPU at once.

use gguf::Directory;

use crate::{Error, Model, Options};

impl Model {
    /// Lays the model out with as many slots a layer as `budget` bytes of GPU memory allow.
    ///
    /// # Errors
    /// [`Error::Budget`] if not even the fewest fit, or not as many as the options ask for; else as [`Model::new`].
    pub fn within(directory: &Directory, options: Options, budget: u64) -> Result<Self, Error> {
        let whole = Self::new(directory, options.clone())?;
        if whole.gpu_bytes() <= budget {
            return Ok(whole);
        }
        if options.slots.is_some() || !whole.is_sparse() {
            return Err(Error::Budget { needed: whole.gpu_bytes(), budget });
        }
        let least = Self::new(directory, Options { slots: Some(whole.least_slots()), ..options.clone() })?;
        let spare = budget.checked_sub(least.gpu_bytes()).ok_or(Error::Budget { needed: least.gpu_bytes(), budget })?;
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
