//! Files of version 3: the header at once, then each tensor's data as it comes, so that a file larger than memory can
//! be written. Also splits a model over shards.

use std::io;

use crate::directory::set_split;
use crate::header::{align, alignment, check_name, order_of_names, tensor_bytes};
use crate::{Array, DType, Error, Metadata, Value, WriteError};

/// The metadata and tensors of a file to be.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut metadata = gguf::Metadata::new();
/// metadata.set("general.architecture", "gpt-oss");
/// let mut writer = gguf::Writer::new(metadata)?;
/// writer.add("output_norm.weight", &[2], gguf::DType::F32)?;
///
/// let mut file = Vec::new();
/// let mut data = writer.start(&mut file)?;
/// data.tensor("output_norm.weight", &[0; 8])?;
/// data.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Writer {
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    alignment: u64,
    /// Padded bytes of the tensors so far.
    data_bytes: u64,
}

impl Writer {
    /// A file without tensors. `general.alignment`, where it is set, is kept to.
    ///
    /// # Errors
    /// [`Error::WrongType`] and [`Error::Alignment`] for `general.alignment`.
    pub fn new(metadata: Metadata) -> Result<Self, Error> {
        let alignment = alignment(&metadata)?;
        Ok(Self { metadata, tensors: Vec::new(), alignment, data_bytes: 0 })
    }

    /// Adds a tensor of `shape`, the fastest axis first. Data is written in the order of addition.
    ///
    /// # Errors
    /// [`Error`]'s for names, shapes and types of tensors.
    pub fn add(&mut self, name: &str, shape: &[u64], dtype: DType) -> Result<(), Error> {
        check_name(name, self.tensors.len())?;
        let bytes = tensor_bytes(name, shape, dtype)?;
        let offset = self.data_bytes;
        self.data_bytes = offset
            .checked_add(bytes)
            .and_then(|end| align(end, self.alignment))
            .ok_or_else(|| Error::TensorTooLarge { tensor: name.to_owned(), shape: shape.to_vec() })?;
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(TensorInfo { name, shape, dtype, offset, bytes });
        Ok(())
    }

    /// The tensors added so far.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Everything before the data section, padding included.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`].
    pub fn header(&self) -> Result<Vec<u8>, Error> {
        order_of_names(self.tensors.len(), |i| &self.tensors[i].name)?;
        let mut out = Vec::new();
        out.extend(b"GGUF");
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            push_string(key, &mut out);
            out.extend(value.id().to_le_bytes());
            push_value(value, &mut out);
        }
        for tensor in &self.tensors {
            push_string(&tensor.name, &mut out);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            out.extend(tensor.shape.iter().flat_map(|n| n.to_le_bytes()));
            out.extend(tensor.dtype.id().to_le_bytes());
            out.extend(tensor.offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment as usize), 0);
        Ok(out)
    }

    /// Writes the header to `out`; the tensors' data follows through what is returned.
    ///
    /// # Errors
    /// [`WriteError::Header`] and [`WriteError::Io`].
    pub fn start<W: io::Write>(self, mut out: W) -> Result<DataWriter<W>, WriteError> {
        out.write_all(&self.header()?)?;
        let (tensors, alignment) = (self.tensors, self.alignment);
        Ok(DataWriter { out, tensors, alignment, next: 0, written: 0 })
    }

    /// Splits the model over shards: the first holds the tensors before index `cuts[0]` and all metadata, each further
    /// one those from its cut to the next. A cut at 0 leaves the first shard without tensors.
    ///
    /// # Errors
    /// [`Error::Cuts`] where `cuts` do not ascend within the tensors, [`Error::TooMany`] for more shards or tensors
    /// than their keys can tell.
    pub fn split_at(self, cuts: &[usize]) -> Result<Vec<Self>, Error> {
        let total = self.tensors.len();
        if !cuts.is_sorted() || cuts.last().is_some_and(|&last| last > total) {
            return Err(Error::Cuts { cuts: cuts.to_vec(), tensors: total });
        }
        let too_many = |what, count: usize, limit| Error::TooMany { what, count: count as u64, limit };
        let count = cuts.len() + 1;
        let shard_count = u16::try_from(count).map_err(|_| too_many("shards", count, u16::MAX.into()))?;
        let tensor_count = i32::try_from(total).map_err(|_| too_many("tensors", total, i32::MAX as u64))?;

        let starts = [0].iter().chain(cuts);
        let ends = cuts.iter().chain([&total]);
        let mut shards = Vec::with_capacity(count);
        for (shard, (&start, &end)) in (0..shard_count).zip(starts.zip(ends)) {
            let mut metadata = if shard == 0 { self.metadata.clone() } else { Metadata::new() };
            set_split(&mut metadata, shard, shard_count, tensor_count);
            let mut writer = Self::new(metadata)?;
            for tensor in &self.tensors[start..end] {
                writer.add(&tensor.name, &tensor.shape, tensor.dtype)?;
            }
            shards.push(writer);
        }
        Ok(shards)
    }

    /// Splits the model over `shards` files of about equal size.
    ///
    /// # Errors
    /// As [`split_at`](Self::split_at); [`Error::NoShards`] for none.
    pub fn split(self, shards: usize) -> Result<Vec<Self>, Error> {
        let Some(cuts) = shards.checked_sub(1) else { return Err(Error::NoShards) };
        let share = |cut: usize| (u128::from(self.data_bytes) * cut as u128 / shards as u128) as u64;
        let cuts: Vec<usize> = (1..=cuts).map(|cut| self.tensors.partition_point(|tensor| tensor.offset < share(cut))).collect();
        self.split_at(&cuts)
    }
}

fn push_string(string: &str, out: &mut Vec<u8>) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string.as_bytes());
}

fn push_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::Str(v) => push_string(v, out),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Array(array) => {
            out.extend(array.id().to_le_bytes());
            out.extend((array.len() as u64).to_le_bytes());
            push_elements(array, out);
        }
    }
}

fn push_elements(array: &Array, out: &mut Vec<u8>) {
    match array {
        Array::U8(v) => out.extend(v),
        Array::I8(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::Bool(v) => out.extend(v.iter().map(|&v| u8::from(v))),
        Array::Strings(v) => v.iter().for_each(|string| push_string(string, out)),
        Array::U64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
    }
}

/// One tensor that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    pub name: String,
    /// Elements along each axis, the fastest first; 1 to 4 axes, none of them empty.
    pub shape: Vec<u64>,
    pub dtype: DType,
    /// Bytes from the start of the data section.
    pub offset: u64,
    /// Bytes of data, without padding.
    pub bytes: u64,
}

/// Takes the data of a file's tensors in order and pads each to the alignment.
#[derive(Debug)]
pub struct DataWriter<W> {
    out: W,
    tensors: Vec<TensorInfo>,
    alignment: u64,
    /// Index of the tensor whose data is due.
    next: usize,
    /// Bytes of it that are written.
    written: u64,
}

impl<W: io::Write> DataWriter<W> {
    /// Writes the whole data of the tensor that is due, which must be `name`.
    ///
    /// # Errors
    /// [`WriteError::Order`], [`WriteError::Length`], [`WriteError::Surplus`] and [`WriteError::Io`].
    pub fn tensor(&mut self, name: &str, data: &[u8]) -> Result<(), WriteError> {
        let (expected, due) = self.due(data)?;
        if expected != name {
            return Err(WriteError::Order { expected: expected.to_owned(), got: name.to_owned() });
        }
        if due != data.len() as u64 {
            let (tensor, got) = (name.to_owned(), data.len() as u64);
            return Err(WriteError::Length { tensor, expected: due, got });
        }
        self.chunk(data)
    }

    /// Writes the next part of the data of the tensor that is due.
    ///
    /// # Errors
    /// [`WriteError::Length`] where the part goes past the tensor's end, [`WriteError::Surplus`] after the last
    /// tensor, [`WriteError::Io`].
    pub fn chunk(&mut self, data: &[u8]) -> Result<(), WriteError> {
        let (name, due) = self.due(data)?;
        let got = data.len() as u64;
        if got > due {
            return Err(WriteError::Length { tensor: name.to_owned(), expected: due, got });
        }
        self.out.write_all(data)?;
        self.written += got;
        if got == due {
            let padding = self.written.next_multiple_of(self.alignment) - self.written;
            io::copy(&mut io::Read::take(io::repeat(0), padding), &mut self.out)?;
            self.next += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Flushes, and gives back the sink.
    ///
    /// # Errors
    /// [`WriteError::Length`] where data is still due, [`WriteError::Io`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        if let Some(tensor) = self.tensors.get(self.next) {
            let (tensor, expected, got) = (tensor.name.clone(), tensor.bytes, self.written);
            return Err(WriteError::Length { tensor, expected, got });
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// Name of the tensor that is due and how many of its bytes are, when `data` has come.
    fn due(&self, data: &[u8]) -> Result<(&str, u64), WriteError> {
        match self.tensors.get(self.next) {
            Some(tensor) => Ok((&tensor.name, tensor.bytes - self.written)),
            None => Err(WriteError::Surplus { got: data.len() as u64 }),
        }
    }
}
