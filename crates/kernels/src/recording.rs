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
    pub work: Work,
    /// What the workgroups of a matrix kernel share among them.
    pub product: Option<Product>,
}

/// What a matrix kernel has to do at most, as choices of experts may coincide; nothing for other kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of weights to read, each once.
    pub weight_bytes: u64,
    /// Multiplications and additions with weights.
    pub operations: u64,
}

/// A matrix times columns of x, which lie in groups that share no workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    pub n_rows: u32,
    pub n_columns: u32,
    pub n_groups: u32,
}

impl Product {
    /// Workgroups by rows and by columns.
    pub(crate) fn workgroups(self, kernel: &Kernel) -> [u32; 3] {
        [self.n_rows.div_ceil(kernel.rows), self.most_tiles(kernel.columns), 1]
    }

    /// Tiles of up to `n` columns of one group, however they fall into groups.
    pub(crate) fn most_tiles(self, n: u32) -> u32 {
        (self.n_columns + (n - 1) * self.n_groups.min(self.n_columns)) / n
    }
}

impl Command {
    /// The same by the kernel's other shape, if it has one.
    #[must_use]
    pub fn in_wide_shape(&self) -> Self {
        let mut command = self.clone();
        if let Some(wide) = self.kernel.wide {
            command.kernel = wide;
            if let Some(product) = self.product {
                command.workgroups = product.workgroups(wide);
            }
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
            work: Work::default(),
            product: None,
        });
    }

    /// The same for a matrix kernel.
    pub(crate) fn dispatch_over(
        &mut self,
        work: Work,
        kernel: &'static Kernel,
        args: &impl bytemuck::NoUninit,
        bindings: &[Slice],
        product: Product,
    ) {
        let before = self.commands.len();
        self.dispatch(kernel, args, bindings, product.workgroups(kernel));
        for command in &mut self.commands[before..] {
            command.work = work;
            command.product = Some(product);
        }
    }
}
