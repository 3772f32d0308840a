use super::{Heads, KvCache, KvType, Pass};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct AttentionArgs {
    pub n_tokens: u32,
    pub n_heads: u32,
    pub n_kv_heads: u32,
    pub head_dim: u32,
    pub capacity: u32,
    pub n_sequences: u32,
    pub first_row: u32,
    pub window: u32,
    pub n_groups: u32,
    pub scale: f32,
}

impl Recording {
    /// `out = softmax(q K / sqrt(dim)) V` over the `window` keys up to each query's own, which are in the cache, with a
    /// sink logit a head; q and out are `[n_tokens, n, dim]`, of tokens of one sequence, sinks `[n]`.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn attention(&mut self, heads: Heads, window: u32, steps: Slice, q: Slice, kv: &KvCache, sinks: Slice, out: Slice, n_tokens: u32) {
        // As many queries as fit workgroup memory.
        let n_groups = match heads.dim {
            ..=64 => 4,
            65..=128 => 2,
            _ => 1,
        };
        let args = AttentionArgs {
            n_tokens,
            n_heads: heads.n,
            n_kv_heads: heads.n_kv,
            head_dim: heads.dim,
            capacity: kv.capacity,
            n_sequences: kv.n_sequences,
            first_row: Pass::of(n_tokens).first_row(),
            window,
            n_groups,
            scale: 1.0 / (heads.dim as f32).sqrt(),
        };
        let kernel = match kv.dtype {
            KvType::F16 => &kernels::F32_ATTENTION_F16,
            KvType::F32 => &kernels::F32_ATTENTION_F32,
            KvType::Q8_0 => &kernels::F32_ATTENTION_Q8_0,
        };
        let n_rows = n_tokens * (heads.n / heads.n_kv);
        self.dispatch(kernel, &args, &[steps, q, kv.k, kv.v, sinks, out], [n_rows.div_ceil(8 * n_groups), heads.n_kv, 1]);
    }
}
