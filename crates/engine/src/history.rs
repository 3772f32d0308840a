//! Which tokens the KV cache holds, and how much of them a new prompt can keep.

use model::Layer;

/// Tokens whose keys and values are in the cache, from position 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) tokens: Vec<u32>,
    /// Positions that were ever written since the cache began, those past `tokens` included.
    pub(crate) written: u32,
    /// Answers that had ended then.
    pub(crate) last_used: u64,
}

impl History {
    /// Positions of `prompt` that need not be computed again; its last two tokens always are, since one alone would take
    /// decode's kernels, which round otherwise, and an answer should not depend on what was asked before. Going back further
    /// than a window's ring remembers means to begin anew.
    pub(crate) fn reusable(&self, prompt: &[u32], layers: &[Layer]) -> u32 {
        let common = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let n = common.min(prompt.len().saturating_sub(2)) as u32;
        let remembers = |layer: &Layer| n.saturating_sub(layer.window.saturating_sub(1)) + layer.kv.capacity >= self.written;
        if layers.iter().all(remembers) { n } else { 0 }
    }
}
