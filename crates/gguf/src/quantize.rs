//! Quantisers for fixtures and converted models, byte for byte those of gguf-py (and so of ggml's reference code).

use half::{bf16, f16};

use crate::dequantize::{E2M1_DOUBLED, e8m0_half};
use crate::{DType, Error};

impl DType {
    /// Appends the blocks of `values` to `out`: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and MXFP4.
    ///
    /// # Errors
    /// [`Error::PartialBlock`] where `values` are no whole number of blocks, [`Error::NotFinite`] where a block format
    /// meets an infinity or a NaN, [`Error::NoQuantizer`] for other types. `out` is then as it was.
    pub fn quantize(self, values: &[f32], out: &mut Vec<u8>) -> Result<(), Error> {
        let block_len = self.block_len();
        if !values.len().is_multiple_of(block_len) {
            return Err(Error::PartialBlock { dtype: self, expected: block_len, got: values.len() });
        }
        if block_len > 1
            && let Some((index, &value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite())
        {
            return Err(Error::NotFinite { dtype: self, index, value });
        }
        match self {
            Self::F32 => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16 => out.extend(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes())),
            Self::BF16 => out.extend(values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes())),
            Self::Q4_0 => each(values, |x| signed::<16>(x, out)),
            Self::Q5_0 => each(values, |x| signed::<32>(x, out)),
            Self::Q4_1 => each(values, |x| offset::<16>(x, out)),
            Self::Q5_1 => each(values, |x| offset::<32>(x, out)),
            Self::Q8_0 => each(values, |x| q8_0(x, out)),
            Self::Mxfp4 => each(values, |x| mxfp4(x, out)),
            _ => return Err(Error::NoQuantizer { dtype: self }),
        }
        Ok(())
    }
}

fn each(values: &[f32], block: impl FnMut(&[f32; 32])) {
    values.as_chunks().0.iter().for_each(block);
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The level that `x` falls on. A scale too small to be inverted gives no level, and 0 stands for it.
fn level<const LEVELS: u8>(x: f32) -> u8 {
    if x < 256.0 { (x as u8).min(LEVELS - 1) } else { 0 }
}

/// Q4_0 and Q5_0: the value of the largest magnitude becomes the lowest level, so its sign decides that of d.
fn signed<const LEVELS: u8>(x: &[f32; 32], out: &mut Vec<u8>) {
    let extreme = x.iter().fold(0.0, |m: f32, &v| if v.abs() > m.abs() { v } else { m });
    let middle = f32::from(LEVELS / 2);
    let d = extreme / -middle;
    let id = inverse(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    push_levels::<LEVELS>(&x.map(|v| level::<LEVELS>(v * id + (middle + 0.5))), out);
}

/// Q4_1 and Q5_1: levels from the smallest value to the largest.
fn offset<const LEVELS: u8>(x: &[f32; 32], out: &mut Vec<u8>) {
    let min = x.iter().copied().fold(f32::INFINITY, f32::min);
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let d = (max - min) / f32::from(LEVELS - 1);
    let id = inverse(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(f16::from_f32(min).to_le_bytes());
    push_levels::<LEVELS>(&x.map(|v| level::<LEVELS>((v - min) * id + 0.5)), out);
}

/// Fifth bits as a u32 where there are 32 levels, then the nibbles of elements j and j + 16 together.
fn push_levels<const LEVELS: u8>(q: &[u8; 32], out: &mut Vec<u8>) {
    if LEVELS == 32 {
        let high = q.iter().rev().fold(0u32, |bits, q| (bits << 1) | u32::from(q >> 4));
        out.extend(high.to_le_bytes());
    }
    push_nibbles(q, out);
}

fn push_nibbles(q: &[u8; 32], out: &mut Vec<u8>) {
    let (low, up) = q.split_at(16);
    out.extend(low.iter().zip(up).map(|(low, up)| (low & 15) | (up << 4)));
}

fn q8_0(x: &[f32; 32], out: &mut Vec<u8>) {
    let d = x.iter().fold(0.0, |m: f32, v| m.max(v.abs())) / 127.0;
    let id = inverse(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(x.iter().map(|v| {
        let q = (v * id).round();
        if q.abs() < 128.0 { q as i8 as u8 } else { 0 }
    }));
}

/// The exponent that leaves the largest magnitude between 4 and 8 (E2M1 ends at 6), then for each element the nearest
/// E2M1 value, the smaller of equals. Where no exponent is small enough, the smallest serves.
fn mxfp4(x: &[f32; 32], out: &mut Vec<u8>) {
    let largest = x.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    let exponent = if largest > 0.0 { f64::from(largest).log2() as f32 } else { f32::NEG_INFINITY };
    let e = (exponent.floor() - 2.0 + 127.0) as u8;
    out.push(e);
    let d = e8m0_half(e);
    let magnitudes: [f32; 8] = std::array::from_fn(|k| d * f32::from(E2M1_DOUBLED[k]));
    push_nibbles(
        &x.map(|v| {
            // Magnitudes ascend, so the error falls up to the nearest one and then rises: its falls count the index.
            let errors = magnitudes.map(|m| (m - v.abs()).abs());
            let nearest = errors.windows(2).map(|pair| u8::from(pair[1] < pair[0])).sum();
            if v < 0.0 && nearest > 0 { nearest | 8 } else { nearest }
        }),
        out,
    );
}
