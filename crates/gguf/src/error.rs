//! What can be wrong with a file, a block or a request, in words and with its operands.

use crate::DType;

/// Longest text from a file that an error quotes, in characters.
const QUOTED_CHARS: usize = 80;

/// The beginning of a text that may have any length, for an error.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Why bytes were refused, or could not be produced.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("not a GGUF file: it is {found}")]
    NotGguf { found: String },
    #[error("GGUF version {got} is not supported: expected 2 or 3")]
    Version { got: u32 },
    #[error("this GGUF file is big-endian; only little-endian files are supported")]
    BigEndian,
    #[error("the file ends at byte {file_bytes}, but {reading} would reach to byte {needed}")]
    Truncated { reading: &'static str, needed: u64, file_bytes: u64 },
    #[error("{reading} would make the header {needed} bytes long; the limit is {limit}")]
    HeaderTooLarge { reading: &'static str, needed: u64, limit: u64 },
    #[error("{count} {what} are more than the {limit} that can be")]
    TooMany { what: &'static str, count: u64, limit: u64 },
    #[error("{what} at byte {at} is not UTF-8")]
    NotUtf8 { what: &'static str, at: u64 },

    #[error("the metadata key at byte {at} is empty")]
    EmptyKey { at: u64 },
    #[error("metadata key {key:?} occurs twice")]
    DuplicateKey { key: String },
    #[error("metadata key {key:?} has the unknown value type {id}")]
    ValueType { key: String, id: u32 },
    #[error("metadata key {key:?} is an array of arrays, which is not supported")]
    NestedArray { key: String },
    #[error("metadata key {key:?} has a bool of {got}: expected 0 or 1")]
    NotBool { key: String, got: u8 },
    #[error("metadata key {key:?}: expected {expected}, got {got}")]
    WrongType { key: String, expected: &'static str, got: String },
    #[error("alignment {got} is not a power of two")]
    Alignment { got: u64 },

    #[error("the name of tensor {index} is empty")]
    EmptyName { index: usize },
    #[error("tensor name {tensor:?} is {got} bytes long; the limit is {limit}")]
    NameTooLong { tensor: String, got: usize, limit: usize },
    #[error("tensor {tensor:?} occurs twice")]
    DuplicateTensor { tensor: String },
    #[error("tensor {tensor:?} has {got} dimensions: expected 1 to 4")]
    Dimensions { tensor: String, got: u64 },
    #[error("tensor {tensor:?} has no elements: its shape is {shape:?}")]
    NoElements { tensor: String, shape: Vec<u64> },
    #[error("tensor {tensor:?} has the unknown type {id}")]
    UnknownType { tensor: String, id: u32 },
    #[error("tensor {tensor:?} has rows of {got} elements: {dtype} needs a multiple of {expected}")]
    PartialRow { tensor: String, dtype: DType, expected: u64, got: u64 },
    #[error("tensor {tensor:?} of shape {shape:?} is larger than any file")]
    TensorTooLarge { tensor: String, shape: Vec<u64> },
    #[error("tensor {tensor:?} starts at offset {got} of the data section: expected {expected}")]
    Offset { tensor: String, expected: u64, got: u64 },
    #[error("tensor {tensor:?} ends at byte {end}, but the file at byte {file_bytes}")]
    PastEnd { tensor: String, end: u64, file_bytes: u64 },

    #[error("there is no file in this set of shards")]
    NoShards,
    #[error("the shards should be {expected}, got {got}")]
    ShardCount { expected: u64, got: u64 },
    #[error("shard {expected} says that it is shard {got}")]
    ShardNumber { expected: u64, got: u64 },
    #[error("the shards should hold {expected} tensors, got {got}")]
    ShardTensors { expected: u64, got: u64 },
    #[error("{tensors} tensors cannot be cut at {cuts:?}")]
    Cuts { cuts: Vec<usize>, tensors: usize },

    #[error("{elements} elements of {dtype} are {expected} bytes, got {got}")]
    BlockBytes { dtype: DType, elements: usize, expected: u64, got: usize },
    #[error("{got} elements are no whole number of {dtype} blocks of {expected}")]
    PartialBlock { dtype: DType, expected: usize, got: usize },
    #[error("element {index} is {value}, which {dtype} cannot hold")]
    NotFinite { dtype: DType, index: usize, value: f32 },
    #[error("{dtype} cannot be dequantised")]
    NoDequantizer { dtype: DType },
    #[error("{dtype} cannot be quantised to")]
    NoQuantizer { dtype: DType },
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Header(#[from] Error),
    #[error("cannot write the file")]
    Io(#[from] std::io::Error),
    #[error("data of tensor {got:?} came where that of {expected:?} was due")]
    Order { expected: String, got: String },
    #[error("tensor {tensor:?} is due {expected} bytes, got {got}")]
    Length { tensor: String, expected: u64, got: u64 },
    #[error("{got} bytes came after the last tensor")]
    Surplus { got: u64 },
}
