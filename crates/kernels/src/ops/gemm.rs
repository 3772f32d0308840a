use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemmArgs {
    /// A multiple of [`GemmArgs::TILE`], as is `n_cols`.
    pub n_rows: u32,
    pub n_cols: u32,
    /// A multiple of [`GemmArgs::DEPTH`].
    pub depth: u32,
}

impl GemmArgs {
    pub const TILE: u32 = 128;
    pub const DEPTH: u32 = 8;
}

impl Recording {
    /// `y = aᵀ b`; a is `[depth, n_rows]`, b `[depth, n_cols]`, y `[n_rows, n_cols]`.
    pub fn gemm(&mut self, args: GemmArgs, a: Slice, b: Slice, y: Slice) {
        let workgroups = [args.n_cols / GemmArgs::TILE, args.n_rows / GemmArgs::TILE, 1];
        self.dispatch(&kernels::F32_GEMM, &args, &[a, b, y], workgroups);
    }
}
