//! What a file's header says, and the rules that it must keep. Reader and writer share them.

use crate::{DType, Error, Metadata, Tensor};

/// The parsed header of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// 2 or 3
    pub version: u32,
    pub metadata: Metadata,
    /// In the order of the file, which is also that of the data.
    pub tensors: Vec<Tensor>,
    /// Where the data section starts, in bytes from the start of the file.
    pub data_start: u64,
    /// Bytes; a power of two.
    pub alignment: u64,
}

/// Longest tensor name, in bytes; ggml keeps names in 64 with a closing zero.
const MAX_NAME_BYTES: usize = 63;

pub(crate) const MAX_DIMENSIONS: u64 = 4;

/// Where no `general.alignment` says otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;

/// The alignment that `metadata` asks for, in bytes.
///
/// # Errors
/// [`Error::WrongType`] and [`Error::Alignment`].
pub(crate) fn alignment(metadata: &Metadata) -> Result<u64, Error> {
    let alignment = metadata.u64("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
    if alignment.is_power_of_two() && alignment <= 1 << 31 { Ok(alignment) } else { Err(Error::Alignment { got: alignment }) }
}

/// The next multiple of `alignment` from `at` on; `None` past u64.
pub(crate) fn align(at: u64, alignment: u64) -> Option<u64> {
    at.checked_next_multiple_of(alignment)
}

/// # Errors
/// [`Error::EmptyName`] and [`Error::NameTooLong`].
pub(crate) fn check_name(name: &str, index: usize) -> Result<(), Error> {
    match name.len() {
        0 => Err(Error::EmptyName { index }),
        1..=MAX_NAME_BYTES => Ok(()),
        got => Err(Error::NameTooLong { tensor: name.to_owned(), got, limit: MAX_NAME_BYTES }),
    }
}

/// Bytes of a tensor's data.
///
/// # Errors
/// [`Error::Dimensions`], [`Error::NoElements`], [`Error::PartialRow`] and [`Error::TensorTooLarge`].
pub(crate) fn tensor_bytes(name: &str, shape: &[u64], dtype: DType) -> Result<u64, Error> {
    let tensor = || name.to_owned();
    let got = shape.len() as u64;
    let [row, rows @ ..] = shape else { return Err(Error::Dimensions { tensor: tensor(), got }) };
    if got > MAX_DIMENSIONS {
        return Err(Error::Dimensions { tensor: tensor(), got });
    }
    if shape.contains(&0) {
        return Err(Error::NoElements { tensor: tensor(), shape: shape.to_vec() });
    }
    let expected = dtype.block_len() as u64;
    if !row.is_multiple_of(expected) {
        return Err(Error::PartialRow { tensor: tensor(), dtype, expected, got: *row });
    }
    let too_large = || Error::TensorTooLarge { tensor: tensor(), shape: shape.to_vec() };
    let row_bytes = dtype.row_bytes(*row).ok_or_else(too_large)?;
    rows.iter().try_fold(row_bytes, |bytes, n| bytes.checked_mul(*n)).ok_or_else(too_large)
}

/// Indices of `names` in their order, for a look-up by binary search.
///
/// # Errors
/// [`Error::DuplicateTensor`].
pub(crate) fn order_of_names<'a>(len: usize, name: impl Fn(usize) -> &'a str) -> Result<Vec<u32>, Error> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    order.sort_unstable_by_key(|&i| name(i as usize));
    for pair in order.windows(2) {
        if name(pair[0] as usize) == name(pair[1] as usize) {
            return Err(Error::DuplicateTensor { tensor: name(pair[0] as usize).to_owned() });
        }
    }
    Ok(order)
}
