//! Raw blocks, as a file has them, on their way into the planes of a matrix.

use crate::{BufferId, Format, Slice};

/// Where a run of raw blocks goes.
#[derive(Clone, Copy, Debug)]
pub struct Planes {
    pub format: Format,
    pub quants: Slice,
    pub scales: Slice,
    /// Bytes before the matrix in `quants` and `scales`.
    pub quants_offset: u64,
    pub scales_offset: u64,
    /// Of the whole matrix.
    pub matrix_blocks: u64,
    /// Of the run in its matrix, a multiple of 4: so it begins at a word in each plane.
    pub first_block: u64,
}

impl Planes {
    /// Gathers whole blocks, of which the first is the run's `nth`, a multiple of 4: what they have of each plane is given
    /// to `write` with the buffer and the byte in it where that begins. `gathered` is room to work in.
    pub fn gather(&self, nth: u64, blocks: &[u8], gathered: &mut Vec<u8>, mut write: impl FnMut(BufferId, u64, &[u8])) {
        let block_bytes = self.format.dtype().block_bytes();
        for (i, plane) in self.format.planes().iter().enumerate() {
            let (target, start) = match i {
                0 => (self.quants, self.quants_offset),
                _ => (self.scales, self.scales_offset + self.format.scales_offset(i, self.matrix_blocks)),
            };
            let at = target.offset + start + (self.first_block + nth) * u64::from(plane.bytes);
            let (offset, bytes) = (plane.offset as usize, plane.bytes as usize);
            if bytes == block_bytes {
                write(target.buffer, at, blocks);
                continue;
            }
            let n = blocks.len() / block_bytes * bytes;
            if gathered.len() < n {
                gathered.resize(n, 0);
            }
            let part = &mut gathered[..n];
            match bytes {
                1 => gather::<1>(blocks, block_bytes, offset, part),
                2 => gather::<2>(blocks, block_bytes, offset, part),
                4 => gather::<4>(blocks, block_bytes, offset, part),
                16 => gather::<16>(blocks, block_bytes, offset, part),
                _ => {
                    for (block, to) in blocks.chunks_exact(block_bytes).zip(part.chunks_exact_mut(bytes)) {
                        to.copy_from_slice(&block[offset..offset + bytes]);
                    }
                }
            }
            write(target.buffer, at, part);
        }
    }
}

/// Of each block the `N` bytes from `offset` on: a length that the compiler knows is a move or two, any other a call.
fn gather<const N: usize>(blocks: &[u8], block_bytes: usize, offset: usize, gathered: &mut [u8]) {
    for (block, to) in blocks.chunks_exact(block_bytes).zip(gathered.as_chunks_mut::<N>().0) {
        to.copy_from_slice(&block[offset..offset + N]);
    }
}
