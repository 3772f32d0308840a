//! One group of 32 weights out of planes: the block is put together again and dequantised by `gguf`.

use super::Words;
use crate::Format;

/// Twin of every `w_group` under `shaders/shared/weights/`.
pub(crate) fn group(format: Format, quants: Words<'_>, scales: Words<'_>, matrix: u32, n_blocks: u32, g: u32) -> [f32; 32] {
    let dtype = format.dtype();
    let (block_len, block_bytes) = (dtype.block_len(), dtype.block_bytes());
    let n_blocks = n_blocks as usize;
    // Plain types have many blocks a group, super-blocks have many groups a block.
    let first_block = g as usize * 32 / block_len;
    let n_group_blocks = (32 / block_len).max(1);
    let mut raw = vec![0; n_group_blocks * block_bytes];
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
            for byte in 0..run {
                raw[block * block_bytes + offset + byte] = words.byte(start + (first_block + block) * run + byte);
            }
        }
    }
    let mut values = vec![0.0; n_group_blocks * block_len];
    let mut out = [0.0; 32];
    if dtype.dequantize(&raw, &mut values).is_ok() {
        let first = g as usize * 32 % block_len;
        out.copy_from_slice(&values[first..first + 32]);
    }
    out
}

pub(crate) fn dot(w: &[f32; 32], x: Words<'_>, first: u32) -> f32 {
    let mut sum = 0.0;
    for i in 0..32 {
        sum += w[i as usize] * x.f(first + i);
    }
    sum
}
