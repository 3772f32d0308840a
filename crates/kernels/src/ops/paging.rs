//! What the GPU and the host tell each other about experts.

use super::Route;
use crate::Slice;

/// One buffer, WGSL's `Paging`: which layer missed an expert first, and the slot of every expert.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    pub whole: Slice,
    /// A layer.
    pub n_experts: u32,
}

impl Paging {
    /// `first_miss` while no layer of a pass has missed.
    pub const NO_MISS: u32 = u32::MAX;
    /// Bytes before the table, of which the first four are `first_miss`.
    pub const TABLE_OFFSET: u64 = 256;

    /// What the buffer begins with: no miss, and the table that `slot` gives by layer and expert.
    pub fn words(n_layers: u32, n_experts: u32, slot: impl Fn(u32, u32) -> Option<u32>) -> Vec<u32> {
        let mut words = vec![0; Self::TABLE_OFFSET as usize / 4];
        words[0] = Self::NO_MISS;
        let entries = (0..n_layers).flat_map(|layer| (0..n_experts).map(move |expert| (layer, expert)));
        words.extend(entries.map(|(layer, expert)| slot(layer, expert).unwrap_or(Route::MISS)));
        words
    }

    /// One word: the first layer of a pass that missed an expert, or [`Paging::NO_MISS`]. The host
    /// resets it.
    pub fn first_miss(&self) -> Slice {
        Slice { bytes: 4, ..self.whole }
    }

    /// `[n_layers, n_experts]` words: slot or [`Route::MISS`].
    pub fn table(&self) -> Slice {
        let Slice { buffer, offset, bytes } = self.whole;
        Slice { buffer, offset: offset + Self::TABLE_OFFSET, bytes: bytes.saturating_sub(Self::TABLE_OFFSET) }
    }

    /// The table's `n_experts` words of one layer; to write, not to bind.
    pub fn row(&self, layer: u32) -> Slice {
        let Slice { buffer, offset, .. } = self.table();
        let bytes = u64::from(self.n_experts) * 4;
        Slice { buffer, offset: offset + u64::from(layer) * bytes, bytes }
    }
}
