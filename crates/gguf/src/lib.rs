//! GGUF from bytes: the header with its metadata and tensor directory, sets of shards, and the block formats that
//! tensors are stored in, with exact scalar dequantisers, quantisers and a writer.
//!
//! Nothing here does I/O and nothing trusts its input. [`parse`] takes the first bytes of a file and says how many
//! more it needs, so a reader over HTTP ranges fetches a 13 MB header and never the 12 GB behind it. Every count and
//! length is checked against the file's size before memory is taken for it.
//!
//! Container and block layouts follow the GGUF specification and ggml, versions 2 and 3, little-endian.

mod dequantize;
mod directory;
mod dtype;
mod error;
mod header;
mod metadata;
mod parse;
mod quantize;
mod sniff;
mod value;
mod write;

pub use directory::{Directory, Tensor, Tensors, shard_names};
pub use dtype::DType;
pub use error::{Error, WriteError};
pub use header::Header;
pub use metadata::Metadata;
pub use parse::{Parsed, parse};
pub use value::{Array, Strings, Value};
pub use write::{DataWriter, TensorInfo, Writer};
