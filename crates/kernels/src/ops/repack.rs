use crate::{Format, Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct RepackArgs {
    pub block_bytes: u32,
    pub plane_offset: u32,
    pub run_bytes: u32,
    pub n_blocks: u32,
    pub first_word: u32,
    pub first_byte: u32,
}

/// A run of raw blocks and where they go in a matrix's planes.
#[derive(Clone, Copy, Debug)]
pub struct Repack {
    pub format: Format,
    /// Blocks as they are in the file, from byte 0.
    pub raw: Slice,
    pub n_blocks: u32,
    /// Of the run in its matrix, a multiple of 4.
    pub first_block: u64,
    /// Bytes before the matrix in `quants` and `scales`.
    pub quants_offset: u64,
    pub scales_offset: u64,
    /// Of the whole matrix.
    pub matrix_blocks: u64,
    pub quants: Slice,
    pub scales: Slice,
}

impl Recording {
    /// Gathers the planes of a run of blocks, a dispatch a plane.
    pub fn repack(&mut self, r: &Repack) {
        for (i, plane) in r.format.planes().iter().enumerate() {
            let (target, start) = match i {
                0 => (r.quants, r.quants_offset),
                _ => (r.scales, r.scales_offset + r.format.scales_offset(i, r.matrix_blocks)),
            };
            let args = RepackArgs {
                block_bytes: r.format.dtype().block_bytes() as u32,
                plane_offset: plane.offset,
                run_bytes: plane.bytes,
                n_blocks: r.n_blocks,
                first_word: ((start + r.first_block * u64::from(plane.bytes)) / 4) as u32,
                first_byte: 0,
            };
            // A thread makes 16 bytes.
            let groups = (r.n_blocks * plane.bytes).div_ceil(16 * 64);
            let width = groups.min(32768);
            self.dispatch(&kernels::U8_REPACK, &args, &[r.raw, target], [width, groups.div_ceil(width.max(1)), 1]);
        }
    }
}
