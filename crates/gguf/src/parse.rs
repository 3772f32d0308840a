//! A header from the first bytes of a file.
//!
//! Each try starts at the first byte. A try that runs out of prefix asks for so much more that tries are few: at
//! least a quarter over what it had, and inside an array of strings as much as the strings so far foretell.

use crate::error::quoted;
use crate::header::{self, MAX_DIMENSIONS};
use crate::{Array, DType, Error, Header, Metadata, Strings, Tensor, Value, sniff};

/// No header is longer. The largest vocabularies take some 20 MB.
const MAX_HEADER_BYTES: u64 = 256 << 20;

/// The least that a try asks for beyond its prefix, in bytes.
const STEP_BYTES: u64 = 1 << 20;

const MAX_KEYS: u64 = 4096;
const MAX_TENSORS: u64 = 16_384;

/// The shortest entries that a file can hold: a key of one byte and its value of one byte; a tensor of one axis with
/// a name of one byte, and one byte of data.
const MIN_KEY_BYTES: u64 = 8 + 1 + 4 + 1;
const MIN_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8 + 1;
const MIN_STRING_BYTES: u64 = 8;

/// How far a prefix led.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    Header(Header),
    /// The header goes on past the prefix. Another try makes sense with the file's first `at_least` bytes: more than
    /// this prefix had, and never more than the file has.
    NeedMore {
        at_least: u64,
    },
}

/// Parses the header of a file of `file_bytes` bytes from its first bytes. Takes at most about twice the header's
/// size in memory, whatever its counts claim.
///
/// # Errors
/// Any of [`Error`]'s for files and tensors; [`Error::Truncated`] where the header goes past the end of the file.
pub fn parse(prefix: &[u8], file_bytes: u64) -> Result<Parsed, Error> {
    let within_file = prefix.len().min(usize::try_from(file_bytes).unwrap_or(usize::MAX));
    let mut reader = Reader { prefix: &prefix[..within_file], at: 0, file_bytes };
    match read_header(&mut reader) {
        Ok(header) => Ok(Parsed::Header(header)),
        Err(Stop::NeedMore(at_least)) => Ok(Parsed::NeedMore { at_least }),
        Err(Stop::Bad(error)) => Err(error),
    }
}

fn read_header(reader: &mut Reader) -> Result<Header, Stop> {
    sniff::check_magic(reader.prefix, reader.file_bytes)?;
    reader.take(4, "the magic number")?;
    let version = reader.u32("the version")?;
    match version {
        2 | 3 => {}
        _ if version & 0xffff == 0 && version != 0 => return Err(Error::BigEndian.into()),
        _ => return Err(Error::Version { got: version }.into()),
    }
    let tensor_count = reader.u64("the tensor count")?;
    let key_count = reader.u64("the key count")?;

    let key_count = reader.count(key_count, "metadata keys", MIN_KEY_BYTES, MAX_KEYS)?;
    let mut entries = Vec::with_capacity(key_count);
    for _ in 0..key_count {
        entries.push(read_entry(reader)?);
    }
    let metadata = Metadata::from_entries(entries)?;
    let alignment = header::alignment(&metadata)?;

    let tensor_count = reader.count(tensor_count, "tensors", MIN_TENSOR_BYTES, MAX_TENSORS)?;
    let mut tensors = Vec::with_capacity(tensor_count);
    let mut offset = Some(0);
    for index in 0..tensor_count {
        let tensor = read_tensor(reader, index, offset)?;
        offset = tensor.start.checked_add(tensor.bytes).and_then(|end| header::align(end, alignment));
        tensors.push(tensor);
    }
    header::order_of_names(tensors.len(), |i| &tensors[i].name)?;

    let data_start = reader.at as u64;
    let data_start = data_start.next_multiple_of(alignment);
    for tensor in &mut tensors {
        tensor.start = data_start.saturating_add(tensor.start);
        tensor.check_end(reader.file_bytes)?;
    }
    Ok(Header { version, metadata, tensors, data_start, alignment })
}

fn read_entry(reader: &mut Reader) -> Result<(String, Value), Stop> {
    let at = reader.at as u64;
    let key = reader.string("a metadata key")?;
    if key.is_empty() {
        return Err(Error::EmptyKey { at }.into());
    }
    let id = reader.u32("a value type")?;
    let value = read_value(reader, key, id)?;
    Ok((key.to_owned(), value))
}

fn read_value(reader: &mut Reader, key: &str, id: u32) -> Result<Value, Stop> {
    const WHAT: &str = "a metadata value";
    Ok(match id {
        0 => Value::U8(u8::from_le_bytes(reader.array(WHAT)?)),
        1 => Value::I8(i8::from_le_bytes(reader.array(WHAT)?)),
        2 => Value::U16(u16::from_le_bytes(reader.array(WHAT)?)),
        3 => Value::I16(i16::from_le_bytes(reader.array(WHAT)?)),
        4 => Value::U32(u32::from_le_bytes(reader.array(WHAT)?)),
        5 => Value::I32(i32::from_le_bytes(reader.array(WHAT)?)),
        6 => Value::F32(f32::from_le_bytes(reader.array(WHAT)?)),
        7 => Value::Bool(to_bool(key, u8::from_le_bytes(reader.array(WHAT)?))?),
        8 => Value::Str(reader.string("a metadata string")?.to_owned()),
        9 => Value::Array(read_array(reader, key)?),
        10 => Value::U64(u64::from_le_bytes(reader.array(WHAT)?)),
        11 => Value::I64(i64::from_le_bytes(reader.array(WHAT)?)),
        12 => Value::F64(f64::from_le_bytes(reader.array(WHAT)?)),
        _ => return Err(Error::ValueType { key: quoted(key), id }.into()),
    })
}

fn read_array(reader: &mut Reader, key: &str) -> Result<Array, Stop> {
    let id = reader.u32("an array's element type")?;
    let count = reader.u64("an array's length")?;
    Ok(match id {
        0 => Array::U8(reader.numbers(count, u8::from_le_bytes)?),
        1 => Array::I8(reader.numbers(count, i8::from_le_bytes)?),
        2 => Array::U16(reader.numbers(count, u16::from_le_bytes)?),
        3 => Array::I16(reader.numbers(count, i16::from_le_bytes)?),
        4 => Array::U32(reader.numbers(count, u32::from_le_bytes)?),
        5 => Array::I32(reader.numbers(count, i32::from_le_bytes)?),
        6 => Array::F32(reader.numbers(count, f32::from_le_bytes)?),
        7 => {
            let bytes = reader.take(count, "an array")?;
            Array::Bool(bytes.iter().map(|&b| to_bool(key, b)).collect::<Result<_, _>>()?)
        }
        8 => Array::Strings(reader.strings(count)?),
        9 => return Err(Error::NestedArray { key: quoted(key) }.into()),
        10 => Array::U64(reader.numbers(count, u64::from_le_bytes)?),
        11 => Array::I64(reader.numbers(count, i64::from_le_bytes)?),
        12 => Array::F64(reader.numbers(count, f64::from_le_bytes)?),
        _ => return Err(Error::ValueType { key: quoted(key), id }.into()),
    })
}

fn to_bool(key: &str, byte: u8) -> Result<bool, Error> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        got => Err(Error::NotBool { key: quoted(key), got }),
    }
}

/// `expected` is where the tensor's data must start in the data section, `None` past u64.
/// The next tensor, whose data should begin at `expected` in the data section, as it then says itself.
fn read_tensor(reader: &mut Reader, index: usize, expected: Option<u64>) -> Result<Tensor, Stop> {
    let name = reader.string("a tensor name")?;
    header::check_name(name, index)?;
    let n_dims = reader.u32("a dimension count")?.into();
    if !(1..=MAX_DIMENSIONS).contains(&n_dims) {
        return Err(Error::Dimensions { tensor: name.to_owned(), got: n_dims }.into());
    }
    let mut shape = Vec::with_capacity(n_dims as usize);
    for _ in 0..n_dims {
        shape.push(reader.u64("a tensor's shape")?);
    }
    let id = reader.u32("a tensor type")?;
    let dtype = DType::from_id(id).ok_or_else(|| Error::UnknownType { tensor: name.to_owned(), id })?;
    let bytes = header::tensor_bytes(name, &shape, dtype)?;
    let offset = reader.u64("a tensor's offset")?;
    match expected {
        Some(expected) if expected == offset => {}
        Some(expected) => return Err(Error::Offset { tensor: name.to_owned(), expected, got: offset }.into()),
        None => return Err(Error::TensorTooLarge { tensor: name.to_owned(), shape }.into()),
    }
    Ok(Tensor { name: name.to_owned(), shape, dtype, shard: 0, start: offset, bytes })
}

/// Why reading cannot go on.
enum Stop {
    /// Prefix bytes for another try.
    NeedMore(u64),
    Bad(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Bad(error)
    }
}

struct Reader<'a> {
    prefix: &'a [u8],
    /// The next byte to read; never past the prefix.
    at: usize,
    file_bytes: u64,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: u64, reading: &'static str) -> Result<&'a [u8], Stop> {
        let rest = &self.prefix[self.at..];
        if bytes > rest.len() as u64 {
            return Err(self.short((self.at as u64).saturating_add(bytes), 0, reading));
        }
        let taken = &rest[..bytes as usize];
        self.at += taken.len();
        Ok(taken)
    }

    /// What to do about a prefix that ends before byte `needed`, when `guess` bytes are likely to be wanted.
    fn short(&self, needed: u64, guess: u64, reading: &'static str) -> Stop {
        let file_bytes = self.file_bytes;
        if needed > file_bytes {
            return Stop::Bad(Error::Truncated { reading, needed, file_bytes });
        }
        if needed > MAX_HEADER_BYTES {
            return Stop::Bad(Error::HeaderTooLarge { reading, needed, limit: MAX_HEADER_BYTES });
        }
        let have = self.prefix.len() as u64;
        let step = have + (have / 4).max(STEP_BYTES);
        Stop::NeedMore(needed.max(guess).max(step).min(file_bytes).min(MAX_HEADER_BYTES))
    }

    fn array<const N: usize>(&mut self, reading: &'static str) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64, reading)?);
        Ok(bytes)
    }

    fn u32(&mut self, reading: &'static str) -> Result<u32, Stop> {
        Ok(u32::from_le_bytes(self.array(reading)?))
    }

    fn u64(&mut self, reading: &'static str) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.array(reading)?))
    }

    fn string(&mut self, what: &'static str) -> Result<&'a str, Stop> {
        let len = self.u64(what)?;
        let at = self.at as u64;
        let bytes = self.take(len, what)?;
        Ok(str::from_utf8(bytes).map_err(|_| Error::NotUtf8 { what, at })?)
    }

    /// `count` as a size, if so many entries of `min_bytes` or more fit in the rest of the file. Where they do not, a
    /// count that a header can have means that the file was cut, any other that it lies.
    fn count(&self, count: u64, what: &'static str, min_bytes: u64, most: u64) -> Result<usize, Stop> {
        let file_bytes = self.file_bytes;
        let limit = most.min((file_bytes - self.at as u64) / min_bytes);
        if count > limit {
            let needed = (self.at as u64).saturating_add(count.saturating_mul(min_bytes));
            return Err(match count <= most && needed <= MAX_HEADER_BYTES {
                true => Error::Truncated { reading: what, needed, file_bytes }.into(),
                false => Error::TooMany { what, count, limit }.into(),
            });
        }
        usize::try_from(count).map_err(|_| Error::TooMany { what, count, limit }.into())
    }

    fn numbers<T, const N: usize>(&mut self, count: u64, from: fn([u8; N]) -> T) -> Result<Vec<T>, Stop> {
        let count = self.count(count, "array elements", N as u64, u64::MAX)?;
        let bytes = self.take(count as u64 * N as u64, "an array")?;
        Ok(bytes.as_chunks().0.iter().map(|&element| from(element)).collect())
    }

    /// Measures the strings first, so that they are copied into buffers of exactly their size.
    fn strings(&mut self, count: u64) -> Result<Strings, Stop> {
        let count = self.count(count, "array elements", MIN_STRING_BYTES, u64::MAX)?;
        let start = self.at;
        let text_bytes = self.measure_strings(count)?;
        self.at = start;
        let mut strings = Strings::with_capacity(count, text_bytes);
        for _ in 0..count {
            strings.push(self.string("an array's string")?);
        }
        Ok(strings)
    }

    /// Skips `count` strings and sums up their bytes.
    fn measure_strings(&mut self, count: usize) -> Result<usize, Stop> {
        const WHAT: &str = "an array of strings";
        let start = self.at;
        let mut text_bytes = 0;
        for read in 0..count {
            let left = (count - read) as u64;
            let rest = &self.prefix[self.at..];
            let (len, have_len) = match rest.first_chunk() {
                Some(&len) => (u64::from_le_bytes(len), true),
                None => (0, false),
            };
            let needed = (self.at as u64).saturating_add(len).saturating_add(left * MIN_STRING_BYTES);
            if needed > self.file_bytes || !have_len || len > (rest.len() - 8) as u64 {
                let mean = (self.at - start) as u64 / (read as u64).max(1);
                let guess = (self.at as u64).saturating_add(mean.saturating_mul(left));
                return Err(self.short(needed, guess, WHAT));
            }
            self.at += 8 + len as usize;
            text_bytes += len as usize;
        }
        Ok(text_bytes)
    }
}
