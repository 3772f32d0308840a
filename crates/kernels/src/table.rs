//! The typed kernel table that `build.rs` reflects from the shaders.

use crate::preprocess::{self, Choices};

/// One checked permutation of a shader.
#[derive(Debug)]
pub struct Kernel {
    /// `activation_weight_op_fusion`.
    pub name: &'static str,
    /// Stem of the file under `shaders/`, and of its arguments and CPU twin.
    pub shader: &'static str,
    pub(crate) weights: Option<&'static str>,
    pub(crate) defines: &'static [&'static str],
    /// Rows of a matrix that a workgroup makes, and for how many columns of x; 0 for kernels without a matrix.
    pub rows: u32,
    pub columns: u32,
    /// The same in another shape, for GPUs with room for tens of thousands of threads: few rows a thread and many lanes a row, or
    /// blocks of many columns.
    pub wide: Option<&'static Self>,
    /// In order of `@binding`, all in group 0; the first is always `args`.
    pub bindings: &'static [Binding],
    /// Name and offset in bytes of each field of `args`.
    pub args: &'static [(&'static str, u32)],
    /// Size of `args` in bytes, as WGSL lays it out.
    pub args_bytes: u32,
}

/// One resource of a kernel.
#[derive(Debug)]
pub struct Binding {
    pub name: &'static str,
    pub access: Access,
}

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Uniform,
    Read,
    ReadWrite,
}

impl Kernel {
    /// The WGSL text of this permutation; for an adapter whose subgroups have so many threads, or several times as many, the one that uses them.
    ///
    /// # Errors
    /// None that `build.rs` has not already refused.
    pub fn source(&self, subgroup: Option<u32>) -> Result<String, String> {
        let choices = Choices { weights: self.weights, defines: self.defines, subgroup };
        preprocess::expand(self.shader, choices, &|stem| FILES.iter().find(|(name, _)| *name == stem).map(|(_, text)| *text))
    }

    /// Whether this permutation was made with `#define`-like flag `name`.
    pub fn has(&self, name: &str) -> bool {
        self.defines.contains(&name)
    }
}

include!(concat!(env!("OUT_DIR"), "/table.rs"));
