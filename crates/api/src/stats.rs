//! What a model has cost so far.

use serde::Serialize;

use crate::Model;

/// Counted since the model was opened.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Bytes that came over the network; of files that are on this machine, what was read.
    pub bytes_fetched: u64,
    /// Requests that failed or broke off, and were sent again.
    pub retries: u64,
    pub bytes_header: u64,
    pub bytes_dense: u64,
    /// Bytes of experts.
    pub bytes_experts: u64,
    /// Different (layer, expert) that tokens used.
    pub experts_touched: u64,
    /// Bytes of one expert in one layer.
    pub bytes_per_expert: u64,
    /// Experts that were on the GPU when a token asked for them.
    pub hits: u64,
    pub misses: u64,
    /// Runs over the layers, or over some of them after a miss, that ended with a token or a miss.
    pub passes: u64,
    /// Slots for experts, a layer.
    pub slots: u32,
    /// Given to the GPU.
    pub dispatches: u64,
    pub bind_groups: u64,
    /// By the host, into buffers.
    pub bytes_written: u64,
    /// By the host, of buffers.
    pub bytes_read: u64,
    pub readbacks: u64,
}

impl Model {
    pub fn stats(&self) -> Stats {
        let (paging, gpu, model) = (self.engine.paging(), self.engine.gpu().counters(), self.engine.model());
        let traffic = self.library.traffic();
        let is_remote = self.library.shards().iter().any(|shard| shard.is_remote());
        Stats {
            bytes_fetched: if is_remote { traffic.bytes } else { self.header_bytes + paging.dense_bytes + paging.expert_bytes },
            retries: traffic.retries,
            bytes_header: self.header_bytes,
            bytes_dense: paging.dense_bytes,
            bytes_experts: paging.expert_bytes,
            experts_touched: paging.touched.len() as u64,
            bytes_per_expert: model.bytes.per_expert,
            hits: paging.hits,
            misses: paging.misses,
            passes: paging.passes,
            slots: model.n_slots,
            dispatches: gpu.dispatches,
            bind_groups: gpu.bind_groups,
            bytes_written: gpu.bytes_written,
            bytes_read: gpu.bytes_read,
            readbacks: gpu.readbacks,
        }
    }
}
