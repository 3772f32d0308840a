//! The KV cache as the twins see it.

use super::{Call, Words};
use crate::ops::KvType;

/// Keys or values: rows of `dim` elements, a position's place times the KV heads plus the head.
#[derive(Clone, Copy)]
pub(crate) struct Cache<'a> {
    words: Words<'a>,
    dtype: KvType,
    n_rows: u32,
    dim: u32,
}

impl<'a> Cache<'a> {
    pub(crate) fn of(call: &Call<'_>, words: Words<'a>, n_rows: u32, dim: u32) -> Self {
        let has = |name| call.kernel.has(name);
        let dtype = match (has("KV_F16"), has("KV_Q8_0")) {
            (true, _) => KvType::F16,
            (_, true) => KvType::Q8_0,
            _ => KvType::F32,
        };
        Self { words, dtype, n_rows, dim }
    }

    /// Where a row's scales begin, in words.
    fn scales(self, row: u32) -> u32 {
        self.n_rows * self.dim / 4 + row * self.dim.div_ceil(128) * 2
    }

    pub(crate) fn get(self, row: u32, i: u32) -> f32 {
        let at = row * self.dim + i;
        match self.dtype {
            KvType::F32 => self.words.f(at),
            KvType::F16 => self.words.half(at),
            KvType::Q8_0 => {
                let block = i / 32;
                let scale = self.words.half(2 * self.scales(row) + block);
                f32::from(self.words.byte(at as usize) as i8) * scale
            }
        }
    }

    pub(crate) fn set(self, row: u32, values: &[f32]) {
        let first = row * self.dim;
        match self.dtype {
            KvType::F32 => (first..).zip(values).for_each(|(at, v)| self.words.set_f(at, *v)),
            KvType::F16 => (first / 2..).zip(values.chunks(2)).for_each(|(at, pair)| self.words.set_u(at, halves([pair[0], pair[1]]))),
            KvType::Q8_0 => {
                let mut tops: Vec<f32> = values.chunks(32).map(|b| b.iter().fold(1e-30, |top: f32, v| top.max(v.abs()))).collect();
                for (i, four) in values.chunks(4).enumerate() {
                    let byte = |v: &f32| (0.5 + 127.0 * (v / tops[i / 8]).clamp(-1.0, 1.0)).floor() as i8 as u8;
                    let bytes = [byte(&four[0]), byte(&four[1]), byte(&four[2]), byte(&four[3])];
                    self.words.set_u(first / 4 + i as u32, u32::from_le_bytes(bytes));
                }
                tops.resize(values.len().div_ceil(128) * 4, 1e-30);
                let scales = self.scales(row);
                (scales..).zip(tops.chunks(2)).for_each(|(at, pair)| self.words.set_u(at, halves([pair[0] / 127.0, pair[1] / 127.0])));
            }
        }
    }
}

fn halves(pair: [f32; 2]) -> u32 {
    let [low, high] = pair.map(|v| u32::from(half::f16::from_f32(v).to_bits()));
    low | high << 16
}
