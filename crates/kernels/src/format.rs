//! How each block format lies on the GPU: a block's bytes are gathered into planes, so that the
//! quants of all blocks are 16-byte aligned and one binding, and the scales another.

use gguf::DType;

/// Bytes `offset .. offset + bytes` of each block, end to end for all blocks of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    pub offset: u32,
    pub bytes: u32,
}

/// A block format that kernels can read as weights.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format(u8);

const fn plane(offset: u32, bytes: u32) -> Plane {
    Plane { offset, bytes }
}

/// In the order of `kernels::FORMATS`. The first plane is the quants. Of the others only the last may
/// be narrower than a word, so each begins at a word.
const TABLE: [(DType, &[Plane]); 16] = [
    (DType::F32, &[plane(0, 4)]),
    (DType::F16, &[plane(0, 2)]),
    (DType::BF16, &[plane(0, 2)]),
    (DType::Q4_0, &[plane(2, 16), plane(0, 2)]),
    (DType::Q4_1, &[plane(4, 16), plane(0, 4)]),
    (DType::Q5_0, &[plane(6, 16), plane(2, 4), plane(0, 2)]),
    (DType::Q5_1, &[plane(8, 16), plane(4, 4), plane(0, 4)]),
    (DType::Q8_0, &[plane(2, 32), plane(0, 2)]),
    (DType::Q2K, &[plane(16, 64), plane(0, 16), plane(80, 4)]),
    (DType::Q3K, &[plane(32, 64), plane(0, 32), plane(96, 12), plane(108, 2)]),
    (DType::Q4K, &[plane(16, 128), plane(4, 12), plane(0, 4)]),
    (DType::Q5K, &[plane(48, 128), plane(16, 32), plane(4, 12), plane(0, 4)]),
    (DType::Q6K, &[plane(0, 128), plane(128, 64), plane(192, 16), plane(208, 2)]),
    (DType::Iq4Nl, &[plane(2, 16), plane(0, 2)]),
    (DType::Iq4Xs, &[plane(8, 128), plane(4, 4), plane(0, 4)]),
    (DType::Mxfp4, &[plane(1, 16), plane(0, 1)]),
];

impl Format {
    /// All of them, by index.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len() as u8).map(Self)
    }

    /// `None` for types that no kernel reads as weights.
    pub fn new(dtype: DType) -> Option<Self> {
        Self::all().find(|f| f.dtype() == dtype)
    }

    /// Into `kernels::FORMATS` and every `_W_` family of the kernel table.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub fn dtype(self) -> DType {
        TABLE[self.index()].0
    }

    /// The quants first.
    pub fn planes(self) -> &'static [Plane] {
        TABLE[self.index()].1
    }

    /// Blocks in `n` elements, a multiple of the block.
    pub fn blocks(self, n: u64) -> u64 {
        n / self.dtype().block_len() as u64
    }

    /// Bytes of the quants plane of `n_blocks`.
    pub fn quants_bytes(self, n_blocks: u64) -> u64 {
        n_blocks * u64::from(self.planes()[0].bytes)
    }

    /// Bytes of all other planes of `n_blocks`, a multiple of 4.
    pub fn scales_bytes(self, n_blocks: u64) -> u64 {
        self.planes()[1..].iter().map(|p| (n_blocks * u64::from(p.bytes)).next_multiple_of(4)).sum()
    }

    /// Where plane `i`, not the quants, begins among the scales of a matrix of `n_blocks`.
    pub fn scales_offset(self, i: usize, n_blocks: u64) -> u64 {
        self.planes()[1..i].iter().map(|p| n_blocks * u64::from(p.bytes)).sum()
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.dtype().name())
    }
}
