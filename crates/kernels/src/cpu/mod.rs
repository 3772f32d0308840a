//! CPU twins of the kernels, written to be laid beside the WGSL: same loops, same order, plain
//! indices. [`execute`] runs a whole [`Recording`] on them, so a wrong logit can be told from a wrong
//! driver.
#![allow(clippy::needless_range_loop, reason = "keeps the code comparable to the shaders")]

mod attention;
mod flash_decode;
mod flash_merge;
mod gemm;
mod get_rows;
mod kv;
mod matmul;
mod moe_down;
mod moe_gate_up_swiglu;
mod moe_group;
mod moe_sum_residual;
mod rms_norm;
mod rope_append;
mod route_slots;
mod router_topk;
mod sample;
mod sample_bins;
mod sample_scan;
mod step;
mod weights;

use std::cell::Cell;
use std::collections::HashMap;

use crate::{BufferId, Kernel, Recording, Slice};

/// Buffers by id, as words.
pub type Memory = HashMap<BufferId, Vec<u32>>;

/// One binding: words that any other binding may share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a>(&'a [Cell<u32>]);

impl<'a> Words<'a> {
    /// Those from word `first` on.
    pub(crate) fn from(self, first: u32) -> Words<'a> {
        Words(self.0.get(first as usize..).unwrap_or_default())
    }

    /// Zero past the end, as WebGPU allows.
    pub(crate) fn u(self, i: u32) -> u32 {
        self.0.get(i as usize).map_or(0, Cell::get)
    }

    pub(crate) fn f(self, i: u32) -> f32 {
        f32::from_bits(self.u(i))
    }

    pub(crate) fn byte(self, i: usize) -> u8 {
        self.0.get(i / 4).map_or(0, |w| w.get().to_le_bytes()[i % 4])
    }

    pub(crate) fn bytes(self, first: usize, out: &mut [u8]) {
        if !first.is_multiple_of(4) {
            return out.iter_mut().zip(first..).for_each(|(byte, at)| *byte = self.byte(at));
        }
        for (bytes, at) in out.chunks_mut(4).zip(first / 4..) {
            bytes.copy_from_slice(&self.u(at as u32).to_le_bytes()[..bytes.len()]);
        }
    }

    pub(crate) fn floats<const N: usize>(self, first: u32) -> [f32; N] {
        match self.0.get(first as usize..first as usize + N) {
            Some(words) => std::array::from_fn(|i| f32::from_bits(words[i].get())),
            None => std::array::from_fn(|i| self.f(first + i as u32)),
        }
    }

    /// Dropped past the end.
    pub(crate) fn set_u(self, i: u32, value: u32) {
        if let Some(word) = self.0.get(i as usize) {
            word.set(value);
        }
    }

    pub(crate) fn set_f(self, i: u32, value: f32) {
        self.set_u(i, value.to_bits());
    }

    /// As a struct of words, from the first.
    pub(crate) fn read<T: bytemuck::AnyBitPattern>(self) -> T {
        let bytes: Vec<u8> = (0..size_of::<T>()).map(|i| self.byte(i)).collect();
        bytemuck::pod_read_unaligned(&bytes)
    }

    /// Half `i`, two to a word.
    pub(crate) fn half(self, i: u32) -> f32 {
        half::f16::from_bits((self.u(i / 2) >> (i % 2 * 16)) as u16).to_f32()
    }
}

/// One dispatch as a twin sees it: `bindings` as in WGSL, without `args`.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) args: &'a [u8],
    pub(crate) bindings: Vec<Words<'a>>,
    pub(crate) workgroups: [u32; 3],
}

impl Call<'_> {
    pub(crate) fn args<T: bytemuck::AnyBitPattern>(&self) -> T {
        bytemuck::pod_read_unaligned(self.args)
    }

    pub(crate) fn bindings<const N: usize>(&self) -> Result<[Words<'_>; N], Error> {
        self.bindings.as_slice().try_into().map_err(|_| Error::Bindings { kernel: self.kernel.name, expected: N, got: self.bindings.len() })
    }

    pub(crate) fn format(&self) -> Result<crate::Format, Error> {
        crate::Format::all()
            .find(|f| Some(crate::kernels::FORMATS[f.index()]) == self.kernel.weights)
            .ok_or(Error::NoTwin { kernel: self.kernel.name })
    }
}

/// Why a recording cannot be run.
#[derive(Debug)]
pub enum Error {
    NoTwin { kernel: &'static str },
    NoBuffer { kernel: &'static str, buffer: BufferId },
    OutOfRange { kernel: &'static str, slice: Slice, words: usize },
    Bindings { kernel: &'static str, expected: usize, got: usize },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoTwin { kernel } => write!(f, "{kernel} has no CPU twin"),
            Self::NoBuffer { kernel, buffer } => write!(f, "{kernel} binds buffer {} which is not there", buffer.0),
            Self::OutOfRange { kernel, slice, words } => write!(f, "{kernel} binds {slice:?} of a buffer of {words} words"),
            Self::Bindings { kernel, expected, got } => write!(f, "{kernel} wants {expected} bindings and got {got}"),
        }
    }
}

impl std::error::Error for Error {}

/// Runs every dispatch of `recording` in order.
///
/// # Errors
/// A binding that lies outside its buffer, or a kernel without a twin.
pub fn execute(recording: &Recording, memory: &mut Memory) -> Result<(), Error> {
    let cells: HashMap<BufferId, &[Cell<u32>]> =
        memory.iter_mut().map(|(id, words)| (*id, Cell::from_mut(words.as_mut_slice()).as_slice_of_cells())).collect();
    for command in &recording.commands {
        let kernel = command.kernel;
        let bind = |slice: &Slice| {
            let words = *cells.get(&slice.buffer).ok_or(Error::NoBuffer { kernel: kernel.name, buffer: slice.buffer })?;
            let (first, n) = ((slice.offset / 4) as usize, (slice.bytes / 4) as usize);
            words.get(first..first + n).map(Words).ok_or(Error::OutOfRange { kernel: kernel.name, slice: *slice, words: words.len() })
        };
        let args = command.args_offset as usize;
        let call = Call {
            kernel,
            args: &recording.args[args..args + kernel.args_bytes as usize],
            bindings: command.bindings.iter().map(bind).collect::<Result<_, _>>()?,
            workgroups: command.workgroups,
        };
        twin(kernel.shader).ok_or(Error::NoTwin { kernel: kernel.name })?(&call)?;
    }
    Ok(())
}

type Twin = fn(&Call<'_>) -> Result<(), Error>;

fn twin(shader: &str) -> Option<Twin> {
    Some(match shader {
        "attention" => attention::run,
        "flash_decode" => flash_decode::run,
        "flash_merge" => flash_merge::run,
        "gemm" => gemm::run,
        "get_rows" => get_rows::run,
        "matmul" => matmul::run,
        "moe_down" => moe_down::run,
        "moe_gate_up_swiglu" => moe_gate_up_swiglu::run,
        "moe_group" => moe_group::run,
        "moe_sum_residual" => moe_sum_residual::run,
        "rms_norm" => rms_norm::run,
        "rope_append" => rope_append::run,
        "route_slots" => route_slots::run,
        "router_topk" => router_topk::run,
        "sample" => sample::run,
        "sample_bins" => sample_bins::run,
        "sample_scan" => sample_scan::run,
        _ => return None,
    })
}
