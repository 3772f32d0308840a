//! Random matrices in every block format: raw blocks, their planes and their values.

use gguf::DType;
use half::{bf16, f16};
use kernels::Format;
use kernels::ops::{ExpertWeight, Part, SlotPart, Weight};

use crate::bench::Bench;
use crate::browser;
use crate::random::Random;

/// A matrix of random blocks.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) format: Format,
    pub(crate) raw: Vec<u8>,
    pub(crate) n_blocks: usize,
    /// As `gguf` dequantises it.
    pub(crate) values: Vec<f32>,
}

/// Columns that give a row an odd number of blocks, so that narrow planes end within a word.
pub(crate) fn odd_width(format: Format) -> u32 {
    3 * format.dtype().block_len().max(32) as u32
}

/// What a test of every format tries, the test of kernels that are `turn`th of their kind: each format, or where pipelines take
/// long the share that it is its turn to try.
pub(crate) fn formats(turn: u32) -> impl Iterator<Item = Format> {
    let share = browser::given().map_or(1, |browser| browser.share);
    Format::all().filter(move |format| (format.index() as u32 + turn).is_multiple_of(share))
}

/// Where a block has an f16.
fn halves(dtype: DType) -> &'static [usize] {
    match dtype {
        DType::F16 | DType::Q4_0 | DType::Q5_0 | DType::Q8_0 | DType::Iq4Nl | DType::Iq4Xs => &[0],
        DType::Q4_1 | DType::Q5_1 | DType::Q4K | DType::Q5K => &[0, 2],
        DType::Q2K => &[80, 82],
        DType::Q3K => &[108],
        DType::Q6K => &[208],
        _ => &[],
    }
}

/// Scale that leaves the weights of a format near 1.
fn half_scale(dtype: DType) -> f32 {
    match dtype {
        DType::F16 => 1.0,
        DType::Q8_0 | DType::Iq4Nl => 0.01,
        DType::Q3K => 0.01,
        DType::Q4K | DType::Q5K => 0.001,
        DType::Q6K | DType::Iq4Xs => 0.0005,
        _ => 0.1,
    }
}

impl Matrix {
    pub(crate) fn random(format: Format, n_cols: u32, n_rows: u32, random: &mut Random) -> Self {
        let dtype = format.dtype();
        let n_blocks = format.blocks(u64::from(n_cols) * u64::from(n_rows)) as usize;
        let mut raw = Vec::with_capacity(n_blocks * dtype.block_bytes());
        for _ in 0..n_blocks {
            let mut block: Vec<u8> = (0..dtype.block_bytes()).map(|_| random.word() as u8).collect();
            for &at in halves(dtype) {
                block[at..at + 2].copy_from_slice(&f16::from_f32(random.float(half_scale(dtype))).to_le_bytes());
            }
            match dtype {
                DType::F32 => block.copy_from_slice(&random.float(1.0).to_le_bytes()),
                DType::BF16 => block.copy_from_slice(&bf16::from_f32(random.float(1.0)).to_le_bytes()),
                DType::Mxfp4 => block[0] = 120 + random.below(8) as u8,
                _ => {}
            }
            raw.extend(block);
        }
        Self::new(format, raw)
    }

    pub(crate) fn new(format: Format, raw: Vec<u8>) -> Self {
        let dtype = format.dtype();
        let n_blocks = raw.len() / dtype.block_bytes();
        let mut values = vec![0.0; n_blocks * dtype.block_len()];
        dtype.dequantize(&raw, &mut values).unwrap();
        Self { format, raw, n_blocks, values }
    }

    /// Bytes of the quants plane and of the other planes.
    pub(crate) fn planes(&self) -> (Vec<u8>, Vec<u8>) {
        let gather = |offset: u32, bytes: u32| {
            let blocks = self.raw.chunks(self.format.dtype().block_bytes());
            blocks.flat_map(move |b| b[offset as usize..(offset + bytes) as usize].to_vec())
        };
        let (quants, others) = self.format.planes().split_first().unwrap();
        let mut scales = Vec::new();
        for plane in others {
            scales.extend(gather(plane.offset, plane.bytes));
        }
        scales.resize(scales.len().next_multiple_of(4), 0);
        (gather(quants.offset, quants.bytes).collect(), scales)
    }

    /// Row `row` of `n_cols`.
    pub(crate) fn row(&self, n_cols: u32, row: u32) -> &[f32] {
        let n_cols = n_cols as usize;
        &self.values[row as usize * n_cols..(row as usize + 1) * n_cols]
    }
}

/// `w` in parts of so many rows.
pub(crate) fn upload(b: &mut Bench, w: &Matrix, n_cols: u32, parts: &[u32]) -> Weight {
    let row_bytes = w.format.dtype().row_bytes(n_cols.into()).unwrap() as usize;
    let mut first_row = 0;
    let parts = parts
        .iter()
        .map(|&n_rows| {
            let rows = first_row as usize * row_bytes..(first_row + n_rows) as usize * row_bytes;
            let (quants, scales) = Matrix::new(w.format, w.raw[rows].to_vec()).planes();
            let part = Part { first_row, n_rows, quants: b.bytes(&quants), scales: b.bytes(&scales) };
            first_row += n_rows;
            part
        })
        .collect();
    Weight { format: w.format, n_cols, n_rows: first_row, parts }
}

/// One matrix a slot, in parts of so many slots.
pub(crate) fn upload_experts(b: &mut Bench, slots: &[Matrix], n_cols: u32, n_rows: u32, parts: &[u32]) -> ExpertWeight {
    let mut first_slot = 0;
    let parts = parts
        .iter()
        .map(|&n_slots| {
            let (mut quants, mut scales) = (Vec::new(), Vec::new());
            for w in &slots[first_slot as usize..(first_slot + n_slots) as usize] {
                let planes = w.planes();
                quants.extend(planes.0);
                scales.extend(planes.1);
            }
            let part = SlotPart { first_slot, n_slots, quants: b.bytes(&quants), scales: b.bytes(&scales) };
            first_slot += n_slots;
            part
        })
        .collect();
    ExpertWeight { format: slots[0].format, n_cols, n_rows, parts }
}

/// `w . x` and the sum of the terms' magnitudes.
pub(crate) fn dot(w: &[f32], x: &[f32]) -> (f64, f64) {
    let terms = || w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
    (terms().sum(), terms().map(f64::abs).sum())
}
