//! Scalar dequantisers, bit for bit those of ggml: the products and sums below are single f32 operations in ggml's
//! order, never fused. A block of 32 keeps element j in the low and j + 16 in the high nibble of byte j.

#![expect(clippy::needless_range_loop, reason = "the loops are the formats' own element formulas")]

use half::{bf16, f16};

use crate::{DType, Error};

/// The code book of IQ4_NL and IQ4_XS.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The values of E2M1, doubled so that they are whole; the scale is halved for it.
pub(crate) const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

impl DType {
    /// Writes the values of `blocks` to `out`, whose length says how many elements there are.
    ///
    /// # Errors
    /// [`Error::PartialBlock`] and [`Error::BlockBytes`] where the lengths do not fit each other,
    /// [`Error::NoDequantizer`] for integers, F64 and the types known by size only.
    pub fn dequantize(self, blocks: &[u8], out: &mut [f32]) -> Result<(), Error> {
        let Some(expected) = self.row_bytes(out.len() as u64) else {
            return Err(Error::PartialBlock { dtype: self, expected: self.block_len(), got: out.len() });
        };
        if blocks.len() as u64 != expected {
            return Err(Error::BlockBytes { dtype: self, elements: out.len(), expected, got: blocks.len() });
        }
        match self {
            Self::F32 => each(blocks, out, |b: &[u8; 4], y: &mut [f32; 1]| y[0] = f32::from_le_bytes(*b)),
            Self::F16 => each(blocks, out, |b: &[u8; 2], y: &mut [f32; 1]| y[0] = f16::from_le_bytes(*b).to_f32()),
            Self::BF16 => each(blocks, out, |b: &[u8; 2], y: &mut [f32; 1]| y[0] = bf16::from_le_bytes(*b).to_f32()),
            Self::Q4_0 => each(blocks, out, q4_0),
            Self::Q4_1 => each(blocks, out, q4_1),
            Self::Q5_0 => each(blocks, out, q5_0),
            Self::Q5_1 => each(blocks, out, q5_1),
            Self::Q8_0 => each(blocks, out, q8_0),
            Self::Q2K => each(blocks, out, q2_k),
            Self::Q3K => each(blocks, out, q3_k),
            Self::Q4K => each(blocks, out, q4_k),
            Self::Q5K => each(blocks, out, q5_k),
            Self::Q6K => each(blocks, out, q6_k),
            Self::Iq4Nl => each(blocks, out, iq4_nl),
            Self::Iq4Xs => each(blocks, out, iq4_xs),
            Self::Mxfp4 => each(blocks, out, mxfp4),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 | Self::F64 | Self::Q8_1 | Self::Q8K | Self::Nvfp4 => {
                return Err(Error::NoDequantizer { dtype: self });
            }
        }
        Ok(())
    }
}

fn each<const BYTES: usize, const LEN: usize>(blocks: &[u8], out: &mut [f32], block: impl Fn(&[u8; BYTES], &mut [f32; LEN])) {
    for (b, y) in blocks.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        block(b, y);
    }
}

fn half_at(b: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([b[at], b[at + 1]]).to_f32()
}

/// f16 d; 16 bytes of nibbles
fn q4_0(b: &[u8; 18], y: &mut [f32; 32]) {
    let d = half_at(b, 0);
    for j in 0..16 {
        let q = b[2 + j];
        y[j] = d * f32::from((q & 15) as i8 - 8);
        y[j + 16] = d * f32::from((q >> 4) as i8 - 8);
    }
}

/// f16 d, f16 m; 16 bytes of nibbles
fn q4_1(b: &[u8; 20], y: &mut [f32; 32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    for j in 0..16 {
        let q = b[4 + j];
        y[j] = d * f32::from(q & 15) + m;
        y[j + 16] = d * f32::from(q >> 4) + m;
    }
}

/// The five-bit values of elements j and j + 16: nibbles from `q`, fifth bits from bits j and j + 16 of `high`.
fn five_bits(q: u8, high: u32, j: usize) -> (u8, u8) {
    let bit = |i: usize| ((high >> i) & 1) as u8;
    ((q & 15) | (bit(j) << 4), (q >> 4) | (bit(j + 16) << 4))
}

/// f16 d; u32 fifth bits; 16 bytes of nibbles
fn q5_0(b: &[u8; 22], y: &mut [f32; 32]) {
    let d = half_at(b, 0);
    let high = u32::from_le_bytes([b[2], b[3], b[4], b[5]]);
    for j in 0..16 {
        let (low, up) = five_bits(b[6 + j], high, j);
        y[j] = d * f32::from(low as i8 - 16);
        y[j + 16] = d * f32::from(up as i8 - 16);
    }
}

/// f16 d, f16 m; u32 fifth bits; 16 bytes of nibbles
fn q5_1(b: &[u8; 24], y: &mut [f32; 32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    let high = u32::from_le_bytes([b[4], b[5], b[6], b[7]]);
    for j in 0..16 {
        let (low, up) = five_bits(b[8 + j], high, j);
        y[j] = d * f32::from(low) + m;
        y[j + 16] = d * f32::from(up) + m;
    }
}

/// f16 d; 32 i8
fn q8_0(b: &[u8; 34], y: &mut [f32; 32]) {
    let d = half_at(b, 0);
    for j in 0..32 {
        y[j] = d * f32::from(b[2 + j] as i8);
    }
}

/// f16 d; 16 bytes of nibbles, indices into [`IQ4`]
fn iq4_nl(b: &[u8; 18], y: &mut [f32; 32]) {
    let d = half_at(b, 0);
    for j in 0..16 {
        let q = b[2 + j];
        y[j] = d * f32::from(IQ4[usize::from(q & 15)]);
        y[j + 16] = d * f32::from(IQ4[usize::from(q >> 4)]);
    }
}

/// u8 exponent; 16 bytes of nibbles, indices into [`E2M1_DOUBLED`]
fn mxfp4(b: &[u8; 17], y: &mut [f32; 32]) {
    let d = e8m0_half(b[0]);
    for j in 0..16 {
        let q = b[1 + j];
        y[j] = d * f32::from(E2M1_DOUBLED[usize::from(q & 15)]);
        y[j + 16] = d * f32::from(E2M1_DOUBLED[usize::from(q >> 4)]);
    }
}

/// 2^(e - 128), half of what an E8M0 scale byte stands for; exponents 0 and 1 are subnormal. 255 is no NaN here.
pub(crate) fn e8m0_half(e: u8) -> f32 {
    f32::from_bits(match e {
        0 => 0x0020_0000,
        1 => 0x0040_0000,
        e => u32::from(e - 1) << 23,
    })
}

/// 16 x (4-bit scale, 4-bit min); 64 bytes of 2-bit quants; f16 d, f16 dmin
fn q2_k(b: &[u8; 84], y: &mut [f32; 256]) {
    let (d, dmin) = (half_at(b, 80), half_at(b, 82));
    for i in 0..256 {
        let scale = b[i / 16];
        let q = (b[16 + 32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3;
        y[i] = d * f32::from(scale & 15) * f32::from(q) - dmin * f32::from(scale >> 4);
    }
}

/// 32 bytes of third bits; 64 bytes of 2-bit quants; 16 six-bit scales in 12 bytes; f16 d
fn q3_k(b: &[u8; 110], y: &mut [f32; 256]) {
    let d = half_at(b, 108);
    let packed = &b[96..108];
    for i in 0..256 {
        let j = i / 16;
        let low = if j < 8 { packed[j] & 15 } else { packed[j - 8] >> 4 };
        let high = (packed[8 + j % 4] >> (2 * (j / 4))) & 3;
        let scale = (low | (high << 4)) as i8 - 32;
        let q = (b[32 + 32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3;
        // The third bit is stored inverted.
        let below = if (b[i % 32] >> (i / 32)) & 1 == 0 { 4 } else { 0 };
        y[i] = d * f32::from(scale) * f32::from(q as i8 - below);
    }
}

/// Scale and min of sub-block `k` (of 8) of Q4_K and Q5_K, six bits each, from their 12 packed bytes.
fn scale_min(packed: &[u8], k: usize) -> (u8, u8) {
    if k < 4 {
        (packed[k] & 63, packed[k + 4] & 63)
    } else {
        let (low, scale_top, min_top) = (packed[k + 4], packed[k - 4] >> 6, packed[k] >> 6);
        ((low & 15) | (scale_top << 4), (low >> 4) | (min_top << 4))
    }
}

/// The nibble of element `i`: 64 elements share 32 bytes, the first half of them in the low nibbles.
fn nibble_of_64(quants: &[u8], i: usize) -> u8 {
    let byte = quants[32 * (i / 64) + i % 32];
    if (i / 32).is_multiple_of(2) { byte & 15 } else { byte >> 4 }
}

/// f16 d, f16 dmin; 8 scales and mins in 12 bytes; 128 bytes of nibbles
fn q4_k(b: &[u8; 144], y: &mut [f32; 256]) {
    let (d, dmin) = (half_at(b, 0), half_at(b, 2));
    for k in 0..8 {
        let (scale, min) = scale_min(&b[4..16], k);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        for i in 32 * k..32 * (k + 1) {
            y[i] = d * f32::from(nibble_of_64(&b[16..], i)) - m;
        }
    }
}

/// f16 d, f16 dmin; 8 scales and mins in 12 bytes; 32 bytes of fifth bits; 128 bytes of nibbles
fn q5_k(b: &[u8; 176], y: &mut [f32; 256]) {
    let (d, dmin) = (half_at(b, 0), half_at(b, 2));
    for k in 0..8 {
        let (scale, min) = scale_min(&b[4..16], k);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        for i in 32 * k..32 * (k + 1) {
            let q = nibble_of_64(&b[48..], i) | (((b[16 + i % 32] >> k) & 1) << 4);
            y[i] = d * f32::from(q) - m;
        }
    }
}

/// 128 bytes of nibbles; 64 bytes of top bit pairs; 16 i8 scales; f16 d
fn q6_k(b: &[u8; 210], y: &mut [f32; 256]) {
    let d = half_at(b, 208);
    for i in 0..256 {
        let (n, r) = (i / 128, i % 128);
        let (g, l) = (r / 32, r % 32);
        let byte = b[64 * n + 32 * (g % 2) + l];
        let low = if g < 2 { byte & 15 } else { byte >> 4 };
        let top = (b[128 + 32 * n + l] >> (2 * g)) & 3;
        y[i] = d * f32::from(b[192 + i / 16] as i8) * f32::from((low | (top << 4)) as i8 - 32);
    }
}

/// f16 d; 8 six-bit scales: u16 of top pairs, 4 bytes of low nibbles; 8 x 16 bytes of indices into [`IQ4`]
fn iq4_xs(b: &[u8; 136], y: &mut [f32; 256]) {
    let d = half_at(b, 0);
    let tops = u16::from_le_bytes([b[2], b[3]]);
    for k in 0..8 {
        let low = (b[4 + k / 2] >> (4 * (k % 2))) & 15;
        let top = ((tops >> (2 * k)) & 3) as u8;
        let d = d * f32::from((low | (top << 4)) as i8 - 32);
        for j in 0..16 {
            let q = b[8 + 16 * k + j];
            y[32 * k + j] = d * f32::from(IQ4[usize::from(q & 15)]);
            y[32 * k + j + 16] = d * f32::from(IQ4[usize::from(q >> 4)]);
        }
    }
}
