use super::{Heads, KvCache, KvType, Pass};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct RopeAppendArgs {
    pub n_heads: u32,
    pub n_kv_heads: u32,
    pub head_dim: u32,
    pub n_rot: u32,
    pub interleaved: u32,
    pub capacity: u32,
    pub n_sequences: u32,
    pub first_row: u32,
    pub concentration: f32,
}

/// A position is two digits to this base; each digit has a table of cosines and sines.
pub const ROPE_BASE: u32 = 512;

/// How positions turn queries and keys.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// Elements of a head that turn.
    pub n_rot: u32,
    /// Pairs are (2i, 2i + 1) rather than (i, i + n_rot/2).
    pub interleaved: bool,
    /// Factor on cosine and sine.
    pub concentration: f32,
    /// `[ROPE_BASE, n_rot/2]` of (cos, sin) for position % ROPE_BASE
    pub low: Slice,
    /// `[.., n_rot/2]` of (cos, sin) for ROPE_BASE * (position / ROPE_BASE)
    pub high: Slice,
}

impl Recording {
    /// Turns q into `q`, and k and v into the cache, from `qkv` `[n_tokens, n + 2 n_kv, dim]` of one sequence.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn rope_append(&mut self, heads: Heads, rope: &Rope, steps: Slice, qkv: Slice, q: Slice, kv: &KvCache, n_tokens: u32) {
        let args = RopeAppendArgs {
            n_heads: heads.n,
            n_kv_heads: heads.n_kv,
            head_dim: heads.dim,
            n_rot: rope.n_rot,
            interleaved: u32::from(rope.interleaved),
            capacity: kv.capacity,
            n_sequences: kv.n_sequences,
            first_row: Pass::of(n_tokens).first_row(),
            concentration: rope.concentration,
        };
        let kernel = match kv.dtype {
            KvType::F16 => &kernels::F32_ROPE_APPEND_F16,
            KvType::F32 => &kernels::F32_ROPE_APPEND_F32,
            KvType::Q8_0 => &kernels::F32_ROPE_APPEND_Q8_0,
        };
        self.dispatch(kernel, &args, &[steps, qkv, rope.low, rope.high, q, kv.k, kv.v], [heads.n + 2 * heads.n_kv, n_tokens, 1]);
    }
}
