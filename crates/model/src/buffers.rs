//! What memory a model asks for.

use kernels::{BufferId, Slice};

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Written while loading, read after.
    Weights,
    /// Written by kernels.
    State,
    /// Small, written by the host and read as a uniform.
    Uniform,
}

/// One buffer to be made; it begins with `contents` and goes on with zeros.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub label: String,
    pub bytes: u64,
    pub usage: Usage,
    pub contents: Vec<u8>,
}

/// Buffers by [`BufferId`].
#[derive(Clone, Debug, Default)]
pub struct Buffers(Vec<Buffer>);

impl Buffers {
    /// A zeroed buffer of at least `bytes`, as a slice over all of it.
    pub(crate) fn zeros(&mut self, label: impl Into<String>, bytes: u64, usage: Usage) -> Slice {
        let bytes = bytes.max(16).next_multiple_of(4);
        self.0.push(Buffer { label: label.into(), bytes, usage, contents: Vec::new() });
        Slice { buffer: BufferId(self.0.len() as u32 - 1), offset: 0, bytes }
    }

    /// A buffer that holds `words`.
    pub(crate) fn holding(&mut self, label: impl Into<String>, words: impl Iterator<Item = u32>, usage: Usage) -> Slice {
        let contents: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        let slice = self.zeros(label, contents.len() as u64, usage);
        self.0[slice.buffer.0 as usize].contents = contents;
        slice
    }

    pub(crate) fn holding_f32(&mut self, label: impl Into<String>, values: impl Iterator<Item = f32>, usage: Usage) -> Slice {
        self.holding(label, values.map(f32::to_bits), usage)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Buffer> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all buffers of one usage.
    pub fn bytes(&self, usage: Usage) -> u64 {
        self.0.iter().filter(|b| b.usage == usage).map(|b| b.bytes).sum()
    }
}
