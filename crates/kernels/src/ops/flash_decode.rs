use super::{Heads, KvCache, KvType, Pass, Rope};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct FlashDecodeArgs {
    pub n_heads: u32,
    pub n_kv_heads: u32,
    pub head_dim: u32,
    pub n_rot: u32,
    pub interleaved: u32,
    pub capacity: u32,
    pub n_sequences: u32,
    pub window: u32,
    pub n_parts: u32,
    pub first_row: u32,
    pub row: u32,
    pub concentration: f32,
    pub scale: f32,
}

/// Keys of the shortest part.
pub const PART: u32 = 128;
/// Into which the keys of one query are cut at most.
pub const MAX_PARTS: u32 = 64;

/// Keys of every part but the last, of `n_seen` in `n_parts`.
pub(crate) fn part_keys(n_seen: u32, n_parts: u32) -> u32 {
    PART * n_seen.div_ceil(PART * n_parts)
}

impl KvCache {
    /// Parts that [`Recording::flash_decode`] cuts the keys of a window into.
    pub fn n_parts(&self, window: u32) -> u32 {
        window.min(self.capacity).div_ceil(PART).min(MAX_PARTS)
    }
}

impl Heads {
    /// Bytes of what [`Recording::flash_decode`] finds in `n_parts` of a row's keys, which the merge reads.
    pub fn parts_bytes(self, n_parts: u32) -> u64 {
        if n_parts == 1 { 0 } else { u64::from(n_parts * self.n) * u64::from(self.dim + 4) * 4 }
    }
}

impl Recording {
    /// Turns q and k of each row's one token in `qkv` `[rows, n + 2 n_kv, dim]`, appends k and v to the cache of its sequence, and
    /// `out = softmax(q K / sqrt(dim)) V` over the `window` keys up to its own, with a sink logit a head; out is `[rows, n, dim]`,
    /// sinks `[n]`, parts of [`Heads::parts_bytes`] a row. After a halt nothing changes. Drafts see each other's keys, so each has a
    /// dispatch of its own.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn flash_decode(
        &mut self,
        heads: Heads,
        rope: &Rope,
        window: u32,
        pass: Pass,
        steps: Slice,
        qkv: Slice,
        kv: &KvCache,
        sinks: Slice,
        parts: Slice,
        out: Slice,
    ) {
        let n_parts = kv.n_parts(window);
        let args = FlashDecodeArgs {
            n_heads: heads.n,
            n_kv_heads: heads.n_kv,
            head_dim: heads.dim,
            n_rot: rope.n_rot,
            interleaved: u32::from(rope.interleaved),
            capacity: kv.capacity,
            n_sequences: kv.n_sequences,
            window,
            n_parts,
            first_row: pass.first_row(),
            row: 0,
            concentration: rope.concentration,
            scale: 1.0 / (heads.dim as f32).sqrt(),
        };
        let kernel = match kv.dtype {
            KvType::F16 => &kernels::F32_FLASH_DECODE_F16,
            KvType::F32 => &kernels::F32_FLASH_DECODE_F32,
            KvType::Q8_0 => &kernels::F32_FLASH_DECODE_Q8_0,
        };
        let found = if n_parts == 1 { out } else { parts };
        let (n_dispatches, rows_each) = if let Pass::Drafts { .. } = pass { (pass.n_tokens(), 1) } else { (1, pass.n_tokens()) };
        let workgroups = [n_parts, heads.n_kv, (heads.n / heads.n_kv).div_ceil(8) * rows_each];
        for row in 0..n_dispatches {
            let args = FlashDecodeArgs { row, ..args };
            self.dispatch(kernel, &args, &[steps, qkv, rope.low, rope.high, kv.k, kv.v, sinks, found], workgroups);
            if let Some(command) = self.commands.last_mut() {
                command.part = Some(PART);
            }
        }
        if n_parts > 1 {
            self.flash_merge(heads, window, n_parts, pass, steps, parts, out);
        }
    }
}
