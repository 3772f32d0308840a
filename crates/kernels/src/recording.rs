//! Record, then execute: a plain list of dispatches over symbolic buffers.

use crate::table::Kernel;

/// A buffer that the executor will have made; the number is the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// A range of a buffer, as a kernel binds it. `offset` is a multiple of 256, `bytes` of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    pub buffer: BufferId,
    pub offset: u64,
    pub bytes: u64,
}

/// One dispatch.
#[derive(Clone, Debug)]
pub struct Command {
    pub kernel: &'static Kernel,
    /// Of its arguments in [`Recording::args`].
    pub args_offset: u32,
    /// In the order of the kernel's bindings, without `args`.
    pub bindings: Vec<Slice>,
    pub workgroups: [u32; 3],
    /// Positions of a sequence that one of `workgroups[0]` looks at, where those past the last have nothing to do.
    pub part: Option<u32>,
    /// Bytes of weights that it must read, at most; 0 for kernels that read none.
    pub weight_bytes: u64,
    /// Rows of the matrix that `workgroups[0]` share among them; 0 for kernels without one.
    pub n_rows: u32,
}

impl Command {
    /// The same by the kernel's other shape, if it has one.
    #[must_use]
    pub fn in_wide_shape(&self) -> Self {
        let mut command = self.clone();
        if let Some(wide) = self.kernel.wide {
            command.kernel = wide;
            command.workgroups[0] = self.n_rows.div_ceil(wide.rows);
        }
        command
    }
}

/// Every uniform binding begins at a multiple of this, as WebGPU wants it.
pub const ARGS_ALIGNMENT: usize = 256;

/// Dispatches in order, and the arguments of all of them in one block of bytes that is uploaded once.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub commands: Vec<Command>,
    pub args: Vec<u8>,
}

impl Recording {
    /// Appends a dispatch of `kernel`. An empty one (a zero in `workgroups`) is dropped.
    pub fn dispatch(&mut self, kernel: &'static Kernel, args: &impl bytemuck::NoUninit, bindings: &[Slice], workgroups: [u32; 3]) {
        if workgroups.contains(&0) {
            return;
        }
        let args = bytemuck::bytes_of(args);
        debug_assert_eq!(args.len(), kernel.args_bytes as usize, "{}: size of args", kernel.name);
        debug_assert_eq!(bindings.len() + 1, kernel.bindings.len(), "{}: number of bindings", kernel.name);
        let args_offset = self.args.len() as u32;
        self.args.extend_from_slice(args);
        self.args.resize(self.args.len().next_multiple_of(ARGS_ALIGNMENT), 0);
        self.commands.push(Command {
            kernel,
            args_offset,
            bindings: bindings.to_vec(),
            workgroups,
            part: None,
            weight_bytes: 0,
            n_rows: 0,
        });
    }

    /// The same for a kernel of matrices of `n_rows`, of which it reads `weight_bytes` for `y` columns or choices.
    pub(crate) fn dispatch_over(
        &mut self,
        weight_bytes: u64,
        kernel: &'static Kernel,
        args: &impl bytemuck::NoUninit,
        bindings: &[Slice],
        n_rows: u32,
        y: u32,
    ) {
        let before = self.commands.len();
        self.dispatch(kernel, args, bindings, [n_rows.div_ceil(kernel.rows), y, 1]);
        for command in &mut self.commands[before..] {
            command.weight_bytes = weight_bytes;
            command.n_rows = n_rows;
        }
    }
}
