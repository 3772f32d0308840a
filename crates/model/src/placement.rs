//! Where each tensor's bytes go: planes of one matrix, slots of an expert matrix, or a plain copy.

use gguf::{DType, Tensor, Tensors};
use kernels::ops::{ExpertWeight, Part, SlotPart, Weight};
use kernels::{Format, Planes, Slice};

use crate::buffers::{Buffers, Usage};
use crate::{Bytes, Error};

/// A run of a file that becomes part of the resident weights.
#[derive(Clone, Debug)]
pub struct Upload {
    pub tensor: String,
    /// Which file, and the run in it, in bytes.
    pub shard: usize,
    pub start: u64,
    pub bytes: u64,
    pub place: Place,
}

/// Where an [`Upload`] goes.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// As it is, to the slice's offset.
    Copy(Slice),
    /// Blocks of a format, gathered into the planes of a matrix.
    Planes(Planes),
}

/// Hands out buffers and notes what goes into them.
#[derive(Debug)]
pub(crate) struct Placer<'a> {
    pub(crate) tensors: &'a Tensors,
    /// Bytes that one binding may have.
    max_binding: u64,
    pub(crate) buffers: Buffers,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) bytes: Bytes,
}

impl<'a> Placer<'a> {
    pub(crate) fn new(tensors: &'a Tensors, max_binding: u64) -> Self {
        Self { tensors, max_binding, buffers: Buffers::default(), uploads: Vec::new(), bytes: Bytes::default() }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.named(name).is_some()
    }

    /// The tensor of that name and shape.
    fn tensor(&self, name: &str, shape: &[u64]) -> Result<&'a Tensor, Error> {
        let tensor = self.tensors.named(name).ok_or_else(|| Error::MissingTensor { tensor: name.into() })?;
        if tensor.shape == shape {
            return Ok(tensor);
        }
        Err(Error::Shape { tensor: name.into(), expected: shape.into(), got: tensor.shape.clone() })
    }

    fn format(tensor: &Tensor) -> Result<Format, Error> {
        Format::new(tensor.dtype).ok_or_else(|| Error::TensorType {
            tensor: tensor.name.clone(),
            expected: "a type that kernels read",
            got: tensor.dtype.name(),
        })
    }

    fn check(&self, tensor: &str, needed: u64) -> Result<(), Error> {
        if needed <= self.max_binding {
            return Ok(());
        }
        Err(Error::Binding { tensor: tensor.into(), needed, limit: self.max_binding })
    }

    /// What a step works on is bound whole, whatever its size.
    pub(crate) fn check_state(&self) -> Result<(), Error> {
        self.buffers.iter().filter(|b| b.usage == Usage::State).try_for_each(|b| self.check(&b.label, b.bytes))
    }

    /// f32 tensors end to end in one buffer: a norm, sinks, a router, biases.
    pub(crate) fn vector(&mut self, tensors: &[(&str, &[u64])]) -> Result<Slice, Error> {
        let found = tensors.iter().map(|(name, shape)| self.tensor(name, shape)).collect::<Result<Vec<_>, _>>()?;
        let total = found.iter().map(|t| t.bytes).sum();
        self.check(tensors[0].0, total)?;
        let whole = self.buffers.zeros(tensors[0].0, total, Usage::Weights);
        let mut offset = 0;
        for tensor in found {
            if tensor.dtype != DType::F32 {
                return Err(Error::TensorType { tensor: tensor.name.clone(), expected: "F32", got: tensor.dtype.name() });
            }
            self.bytes.dense += tensor.bytes;
            let place = Place::Copy(Slice { buffer: whole.buffer, offset, bytes: tensor.bytes });
            self.upload(tensor, 0, tensor.bytes, place);
            offset += tensor.bytes;
        }
        Ok(whole)
    }

    /// Matrices `[n_cols, n_rows]` of one type one under the other as one weight; each as a weight of its own if
    /// their planes would not meet at a word, or are too large for a binding.
    pub(crate) fn stacked(&mut self, n_cols: u32, parts: &[(&str, u32)]) -> Result<Vec<Weight>, Error> {
        let found =
            parts.iter().map(|(name, n_rows)| self.tensor(name, &[n_cols.into(), (*n_rows).into()])).collect::<Result<Vec<_>, _>>()?;
        let format = Self::format(found[0])?;
        let blocks = |n_rows: u32| format.blocks(u64::from(n_cols) * u64::from(n_rows));
        let n_rows: u32 = parts.iter().map(|p| p.1).sum();
        let (quants_bytes, scales_bytes) = (format.quants_bytes(blocks(n_rows)), format.scales_bytes(blocks(n_rows)));
        let meet = parts.iter().all(|p| blocks(p.1) % 4 == 0);
        if !meet || quants_bytes.max(scales_bytes) > self.max_binding {
            return parts.iter().map(|(name, n_rows)| self.matrix(name, n_cols, *n_rows)).collect();
        }
        let quants = self.buffers.zeros(parts[0].0, quants_bytes, Usage::Weights);
        let scales = self.buffers.zeros(format!("{} scales", parts[0].0), scales_bytes, Usage::Weights);
        let matrix_blocks = blocks(n_rows);
        let mut first_block = 0;
        for (tensor, (_, rows)) in found.into_iter().zip(parts) {
            self.bytes.dense += tensor.bytes;
            let place = Place::Planes(Planes { format, quants, scales, quants_offset: 0, scales_offset: 0, matrix_blocks, first_block });
            self.upload(tensor, 0, tensor.bytes, place);
            first_block += blocks(*rows);
        }
        let part = Part { first_row: 0, n_rows, quants, scales };
        Ok(vec![Weight { format, n_cols, n_rows, parts: vec![part] }])
    }

    /// A matrix `[n_cols, n_rows]`, cut by rows where it is larger than a binding.
    pub(crate) fn matrix(&mut self, name: &str, n_cols: u32, n_rows: u32) -> Result<Weight, Error> {
        let tensor = self.tensor(name, &[n_cols.into(), n_rows.into()])?;
        let format = Self::format(tensor)?;
        let row_blocks = format.blocks(n_cols.into());
        let fits = |rows: u32| {
            format.quants_bytes(row_blocks * u64::from(rows)).max(format.scales_bytes(row_blocks * u64::from(rows))) <= self.max_binding
        };
        if !fits(1) {
            self.check(name, format.quants_bytes(row_blocks))?;
        }
        let mut n_parts = 1;
        while !fits(n_rows.div_ceil(n_parts)) {
            n_parts += 1;
        }
        self.bytes.dense += tensor.bytes;
        let row_bytes = tensor.bytes / u64::from(n_rows);
        let mut weight = Weight { format, n_cols, n_rows, parts: Vec::new() };
        let step = n_rows.div_ceil(n_parts);
        for first_row in (0..n_rows).step_by(step as usize) {
            let rows = step.min(n_rows - first_row);
            let matrix_blocks = row_blocks * u64::from(rows);
            let quants = self.buffers.zeros(format!("{name} from row {first_row}"), format.quants_bytes(matrix_blocks), Usage::Weights);
            let scales =
                self.buffers.zeros(format!("{name} scales from row {first_row}"), format.scales_bytes(matrix_blocks), Usage::Weights);
            let place = Place::Planes(Planes { format, quants, scales, quants_offset: 0, scales_offset: 0, matrix_blocks, first_block: 0 });
            self.upload(tensor, u64::from(first_row) * row_bytes, u64::from(rows) * row_bytes, place);
            weight.parts.push(Part { first_row, n_rows: rows, quants, scales });
        }
        Ok(weight)
    }

    /// A dense FFN's matrix `[n_cols, n_rows]` as the one expert there is; the third axis may be lacking.
    pub(crate) fn only_expert(&mut self, name: &str, n_cols: u32, n_rows: u32) -> Result<ExpertWeight, Error> {
        let tensor = self.tensor(name, &[n_cols.into(), n_rows.into()])?;
        let weight = self.slots(tensor, n_cols, n_rows, 1)?;
        self.bytes.dense += tensor.bytes;
        self.upload(tensor, 0, tensor.bytes, slot_place(&weight, 0));
        Ok(weight)
    }

    /// Slots for `n_slots` of `n_experts` experts' matrices `[n_cols, n_rows]`, and where in the files these lie.
    pub(crate) fn experts(
        &mut self,
        name: &str,
        n_cols: u32,
        n_rows: u32,
        n_experts: u32,
        n_slots: u32,
    ) -> Result<(ExpertWeight, ExpertTensor), Error> {
        let tensor = self.tensor(name, &[n_cols.into(), n_rows.into(), n_experts.into()])?;
        let weight = self.slots(tensor, n_cols, n_rows, n_slots)?;
        self.bytes.experts += tensor.bytes;
        let slice_bytes = tensor.bytes / u64::from(n_experts);
        Ok((weight, ExpertTensor { tensor: tensor.name.clone(), shard: tensor.shard, start: tensor.start, slice_bytes }))
    }

    /// Room for `n_slots` matrices of the tensor's type, cut by slots where they are larger than a binding.
    fn slots(&mut self, tensor: &Tensor, n_cols: u32, n_rows: u32, n_slots: u32) -> Result<ExpertWeight, Error> {
        let (name, format) = (&tensor.name, Self::format(tensor)?);
        let matrix_blocks = format.blocks(u64::from(n_cols) * u64::from(n_rows));
        let (quants_bytes, scales_bytes) = (format.quants_bytes(matrix_blocks), format.scales_bytes(matrix_blocks));
        self.check(name, quants_bytes.max(scales_bytes))?;
        let step = u32::try_from(self.max_binding / quants_bytes.max(scales_bytes)).unwrap_or(u32::MAX).clamp(1, n_slots);
        let mut weight = ExpertWeight { format, n_cols, n_rows, parts: Vec::new() };
        for first_slot in (0..n_slots).step_by(step as usize) {
            let n_slots = step.min(n_slots - first_slot);
            let quants = self.buffers.zeros(format!("{name} from slot {first_slot}"), quants_bytes * u64::from(n_slots), Usage::Weights);
            let scales =
                self.buffers.zeros(format!("{name} scales from slot {first_slot}"), scales_bytes * u64::from(n_slots), Usage::Weights);
            weight.parts.push(SlotPart { first_slot, n_slots, quants, scales });
        }
        Ok(weight)
    }

    fn upload(&mut self, tensor: &Tensor, from: u64, bytes: u64, place: Place) {
        self.uploads.push(Upload { tensor: tensor.name.clone(), shard: tensor.shard, start: tensor.start + from, bytes, place });
    }
}

/// Where in the files the experts' slices of one layer's gate, up or down lie: expert e's begins at
/// `start + e * slice_bytes`.
#[derive(Clone, Debug)]
pub struct ExpertTensor {
    pub tensor: String,
    pub shard: usize,
    pub start: u64,
    pub slice_bytes: u64,
}

impl ExpertTensor {
    /// What to read so that `expert`'s matrix lies in `slot` of `weight`.
    pub(crate) fn upload(&self, weight: &ExpertWeight, expert: u32, slot: u32) -> Upload {
        Upload {
            tensor: self.tensor.clone(),
            shard: self.shard,
            start: self.start + u64::from(expert) * self.slice_bytes,
            bytes: self.slice_bytes,
            place: slot_place(weight, slot),
        }
    }
}

/// The planes of `slot`, which is one of the weight's.
fn slot_place(weight: &ExpertWeight, slot: u32) -> Place {
    let format = weight.format;
    let matrix_blocks = format.blocks(u64::from(weight.n_cols) * u64::from(weight.n_rows));
    let part = weight.parts.partition_point(|p| p.first_slot <= slot).saturating_sub(1);
    let SlotPart { first_slot, quants, scales, .. } = weight.parts[part];
    let nth = u64::from(slot - first_slot);
    Place::Planes(Planes {
        format,
        quants,
        scales,
        quants_offset: format.quants_bytes(matrix_blocks) * nth,
        scales_offset: format.scales_bytes(matrix_blocks) * nth,
        matrix_blocks,
        first_block: 0,
    })
}
