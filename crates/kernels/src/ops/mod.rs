//! What each kernel is called with: its arguments, field for field as in WGSL, and the call that
//! records it.

mod attention;
mod flash_decode;
mod flash_merge;
mod gemm;
mod get_rows;
mod matmul;
mod moe_down;
mod moe_gate_up_swiglu;
mod moe_group;
mod moe_sum_residual;
mod paging;
mod rms_norm;
mod rope_append;
mod route_slots;
mod router_topk;
mod sample;
mod sample_bins;
mod sample_scan;
mod step;

pub use attention::AttentionArgs;
pub(crate) use flash_decode::part_keys;
pub use flash_decode::{FlashDecodeArgs, MAX_PARTS, PART};
pub use flash_merge::FlashMergeArgs;
pub use gemm::GemmArgs;
pub use get_rows::GetRowsArgs;
pub use matmul::{MatmulArgs, Rows};
pub use moe_down::MoeDownArgs;
pub use moe_gate_up_swiglu::{Experts, MoeGateUpArgs, Swiglu};
pub use moe_group::{Choices, MoeGroupArgs, TileHeader};
pub use moe_sum_residual::MoeSumArgs;
pub use paging::Paging;
pub use rms_norm::RmsNormArgs;
pub use rope_append::{ROPE_BASE, Rope, RopeAppendArgs};
pub use route_slots::RouteSlotsArgs;
pub use router_topk::{MAX_EXPERTS, Route, Router, RouterArgs};
pub use sample::{Alternatives, IN_PROMPT, MAX_LOGPROBS, MAX_STOPS, SampleArgs, Sampled, Sampler, Sampling};
pub use sample_bins::SampleBinsArgs;
pub use sample_scan::{MASKED, SampleScanArgs};
pub(crate) use sample_scan::{N_BINS, PARTIAL};
pub use step::{MAX_DRAFTS, MAX_SEQUENCES, Pass, Step, Steps};

use crate::{Format, Product, Slice, Work};

/// A matrix `[n_cols, n_rows]` in planes, cut by rows into parts that each fit a binding.
#[derive(Clone, Debug)]
pub struct Weight {
    pub format: Format,
    /// Elements a row, a multiple of 32.
    pub n_cols: u32,
    pub n_rows: u32,
    pub parts: Vec<Part>,
}

/// Rows `first_row .. first_row + n_rows` of a [`Weight`].
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub first_row: u32,
    pub n_rows: u32,
    pub quants: Slice,
    pub scales: Slice,
}

/// One matrix `[n_cols, n_rows]` of each expert that has a slot, slot after slot.
#[derive(Clone, Debug)]
pub struct ExpertWeight {
    pub format: Format,
    pub n_cols: u32,
    pub n_rows: u32,
    /// By slots, so that each fits a binding; the gate and the up of a layer are cut alike.
    pub parts: Vec<SlotPart>,
}

/// Slots `first_slot .. first_slot + n_slots` of an [`ExpertWeight`].
#[derive(Clone, Copy, Debug)]
pub struct SlotPart {
    pub first_slot: u32,
    pub n_slots: u32,
    pub quants: Slice,
    pub scales: Slice,
}

impl Weight {
    fn blocks(&self, part: &Part) -> u32 {
        self.format.blocks(u64::from(self.n_cols) * u64::from(part.n_rows)) as u32
    }
}

impl ExpertWeight {
    fn blocks(&self) -> u32 {
        self.format.blocks(u64::from(self.n_cols) * u64::from(self.n_rows)) as u32
    }

    /// Of `product` with this matrix alone, whose choices are all of different experts if there are as many.
    fn work(&self, product: Product) -> Work {
        let n_blocks = self.blocks().into();
        let expert_bytes = self.format.quants_bytes(n_blocks) + self.format.scales_bytes(n_blocks);
        let n_weights = u64::from(self.n_cols) * u64::from(self.n_rows);
        Work {
            weight_bytes: u64::from(product.n_columns.min(product.n_groups)) * expert_bytes,
            operations: 2 * n_weights * u64::from(product.n_columns),
        }
    }
}

/// Where keys and values are kept: `[n_sequences, capacity, n_kv_heads, head_dim]` each.
#[derive(Clone, Copy, Debug)]
pub struct KvCache {
    pub k: Slice,
    pub v: Slice,
    /// Positions of a sequence; position p lives at p % capacity.
    pub capacity: u32,
    pub n_sequences: u32,
    pub dtype: KvType,
}

/// What a KV cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvType {
    F16,
    F32,
    /// Blocks of 32 bytes with a scale in f16; for heads of a multiple of 32 elements.
    Q8_0,
}

impl KvType {
    /// Bytes of the keys, or of the values, of `n` positions.
    pub fn bytes(self, heads: Heads, n: u32) -> u64 {
        let row = match self {
            Self::F16 => heads.dim * 2,
            Self::F32 => heads.dim * 4,
            Self::Q8_0 => heads.dim + heads.dim.div_ceil(128) * 8,
        };
        u64::from(n) * u64::from(heads.n_kv) * u64::from(row)
    }

    /// As options name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Q8_0 => "q8_0",
        }
    }
}

impl std::str::FromStr for KvType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::F16, Self::F32, Self::Q8_0];
        all.into_iter().find(|kv| kv.name() == name).ok_or_else(|| format!("{name:?} is none of f16, f32 and q8_0"))
    }
}

/// Heads of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub n: u32,
    pub n_kv: u32,
    /// Elements a head, a multiple of 8, at most 256.
    pub dim: u32,
}
