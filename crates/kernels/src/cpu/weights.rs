//! One group of 32 weights out of planes: the block is put together again and dequantised by `gguf`.

use super::Words;
use crate::Format;

/// Of the blocks that hold a group.
const MOST_BYTES: usize = 256;
const MOST_VALUES: usize = 256;

/// Twin of every `w_group` under `shaders/shared/weights/`.
pub(crate) fn group(format: Format, quants: Words<'_>, scales: Words<'_>, matrix: u32, n_blocks: u32, g: u32) -> [f32; 32] {
    let dtype = format.dtype();
    let (block_len, block_bytes) = (dtype.block_len(), dtype.block_bytes());
    let n_blocks = n_blocks as usize;
    // Plain types have many blocks a group, super-blocks have many groups a block.
    let first_block = g as usize * 32 / block_len;
    let n_group_blocks = (32 / block_len).max(1);
    let (mut raw, mut values) = ([0; MOST_BYTES], [0.0; MOST_VALUES]);
    let raw = &mut raw[..n_group_blocks * block_bytes];
    let values = &mut values[..n_group_blocks * block_len];
    for (i, plane) in format.planes().iter().enumerate() {
        let (run, offset) = (plane.bytes as usize, plane.offset as usize);
        let (words, start) = match i {
            0 => (quants, matrix as usize * n_blocks * run),
            _ => {
                let stride = format.scales_bytes(n_blocks as u64) as usize;
                (scales, matrix as usize * stride + format.scales_offset(i, n_blocks as u64) as usize)
            }
        };
        for block in 0..n_group_blocks {
            words.bytes(start + (first_block + block) * run, &mut raw[block * block_bytes + offset..][..run]);
        }
    }
    let mut out = [0.0; 32];
    if dtype.dequantize(raw, values).is_ok() {
        let first = g as usize * 32 % block_len;
        out.copy_from_slice(&values[first..first + 32]);
    }
    out
}

/// In four lanes, as vectors are multiplied.
pub(crate) fn dot(w: &[f32; 32], x: Words<'_>, first: u32) -> f32 {
    let x = x.floats::<32>(first);
    let mut sums = [0.0; 4];
    for i in 0..32 {
        sums[i % 4] += w[i] * x[i];
    }
    sums[0] + sums[1] + sums[2] + sums[3]
}
