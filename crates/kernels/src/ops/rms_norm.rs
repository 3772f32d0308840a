use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct RmsNormArgs {
    /// A multiple of 4.
    pub n_cols: u32,
    pub eps: f32,
}

impl Recording {
    /// `y = x / rms(x) * gain`; x and y are `[n_tokens, n_cols]`.
    pub fn rms_norm(&mut self, x: Slice, gain: Slice, eps: f32, y: Slice, n_cols: u32, n_tokens: u32) {
        self.dispatch(&kernels::F32_RMS_NORM, &RmsNormArgs { n_cols, eps }, &[x, gain, y], [n_tokens, 1, 1]);
    }
}
