//! What a model has cost so far.

use engine::{Counters, Experts, Paging};
use serde::Serialize;
use store::Traffic;

use crate::monitor::{Fixed, TierBytes};

/// Counted since the model was opened.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Bytes that came over the network; of files that are on this machine, what was read.
    pub bytes_fetched: u64,
    /// Bytes that came over the network.
    pub bytes_network: u64,
    /// Requests that failed or broke off, and were sent again.
    pub retries: u64,
    /// Bytes that were read of what is kept on this machine, or of files that are here anyway.
    pub bytes_disk: u64,
    /// Bytes that were read of what host memory still held.
    pub bytes_ram: u64,
    /// Bytes of experts that host memory holds now.
    pub bytes_held: u64,
    /// Bytes of weights that went to the GPU.
    pub bytes_gpu: u64,
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
    /// Tokens drawn.
    pub tokens: u64,
    /// Runs over the layers, or over some of them after a miss, that ended with a token or a miss.
    pub passes: u64,
    /// Of these, those after a miss.
    pub replays: u64,
    /// Tokens that were guessed from those before, and of these, those that were said.
    pub drafted: u64,
    pub draft_hits: u64,
    /// Seconds that answers waited for experts.
    pub stall_seconds: f64,
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

impl Stats {
    pub(crate) fn new(
        experts: &Experts,
        paging: &Paging,
        gpu: &Counters,
        traffic: Traffic,
        tiers: TierBytes,
        bytes_held: u64,
        fixed: &Fixed,
    ) -> Self {
        Self {
            bytes_fetched: if fixed.is_remote { tiers.network } else { tiers.disk },
            bytes_network: tiers.network,
            retries: traffic.retries,
            bytes_disk: tiers.disk,
            bytes_ram: tiers.ram,
            bytes_held,
            bytes_gpu: tiers.gpu,
            bytes_header: fixed.header_bytes,
            bytes_dense: paging.dense_bytes,
            bytes_experts: paging.expert_bytes,
            experts_touched: paging.touched.len() as u64,
            bytes_per_expert: fixed.bytes_per_expert,
            hits: paging.hits,
            misses: paging.misses,
            tokens: paging.tokens,
            passes: paging.passes,
            replays: paging.replays,
            drafted: paging.drafted,
            draft_hits: paging.draft_hits,
            stall_seconds: paging.stall_seconds,
            slots: experts.n_slots(),
            dispatches: gpu.dispatches,
            bind_groups: gpu.bind_groups,
            bytes_written: gpu.bytes_written,
            bytes_read: gpu.bytes_read,
            readbacks: gpu.readbacks,
        }
    }
}
