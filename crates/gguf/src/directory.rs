//! Every tensor of a model and where its bytes are, in one file or over a set of shards.

use std::sync::Arc;

use crate::header::order_of_names;
use crate::{DType, Error, Header, Metadata};

/// One tensor and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub name: String,
    /// Elements along each axis, the fastest first; 1 to 4 axes, none of them empty.
    pub shape: Vec<u64>,
    pub dtype: DType,
    /// Which file, from 0; of a header by itself always 0.
    pub shard: usize,
    /// Where the data starts, in bytes from the start of that file.
    pub start: u64,
    /// Bytes of data, without padding.
    pub bytes: u64,
}

impl Tensor {
    /// # Errors
    /// [`Error::PastEnd`]
    pub(crate) fn check_end(&self, file_bytes: u64) -> Result<(), Error> {
        let end = self.start.saturating_add(self.bytes);
        if end <= file_bytes { Ok(()) } else { Err(Error::PastEnd { tensor: self.name.clone(), end, file_bytes }) }
    }
}

/// The metadata and tensors of a model. A set of shards gives the same directory as the one file that it was split
/// from, except for `shard` and `start`.
#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    /// Of the first shard, without the `split.` keys.
    pub metadata: Metadata,
    pub tensors: Arc<Tensors>,
    /// Size of each file.
    pub file_bytes: Vec<u64>,
}

/// In the order of the files.
#[derive(Debug, PartialEq)]
pub struct Tensors {
    all: Vec<Tensor>,
    /// Indices into `all`, in the order of names.
    by_name: Vec<u32>,
}

const SPLIT_NO: &str = "split.no";
const SPLIT_COUNT: &str = "split.count";
const SPLIT_TENSORS: &str = "split.tensors.count";

impl Directory {
    /// Joins the headers of a model's files, first shard first, each with its file's size in bytes.
    ///
    /// # Errors
    /// [`Error::NoShards`], [`Error::ShardCount`], [`Error::ShardNumber`] and [`Error::ShardTensors`] where the files
    /// are no whole set in order, [`Error::DuplicateTensor`], [`Error::PastEnd`].
    pub fn new(shards: Vec<(Header, u64)>) -> Result<Self, Error> {
        check_split(&shards)?;
        let file_bytes: Vec<u64> = shards.iter().map(|(_, bytes)| *bytes).collect();
        let mut tensors: Vec<Tensor> = Vec::new();
        let mut first_metadata = None;
        for (shard, (mut header, file_bytes)) in shards.into_iter().enumerate() {
            first_metadata.get_or_insert(header.metadata);
            for tensor in &mut header.tensors {
                tensor.shard = shard;
                tensor.check_end(file_bytes)?;
            }
            // Of a single file the list stays where it is: two of them would be more than the file justifies.
            if tensors.is_empty() {
                tensors = header.tensors;
            } else {
                tensors.append(&mut header.tensors);
            }
        }
        let mut metadata = first_metadata.ok_or(Error::NoShards)?;
        for key in [SPLIT_NO, SPLIT_COUNT, SPLIT_TENSORS] {
            metadata.remove(key);
        }
        let by_name = order_of_names(tensors.len(), |i| &tensors[i].name)?;
        Ok(Self { metadata, tensors: Arc::new(Tensors { all: tensors, by_name }), file_bytes })
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.named(name)
    }
}

impl std::ops::Deref for Tensors {
    type Target = [Tensor];

    fn deref(&self) -> &[Tensor] {
        &self.all
    }
}

impl Tensors {
    /// The one called `name`.
    pub fn named(&self, name: &str) -> Option<&Tensor> {
        let tensor = |i: u32| &self.all[i as usize];
        let at = self.by_name.binary_search_by(|&i| tensor(i).name.as_str().cmp(name)).ok()?;
        Some(tensor(self.by_name[at]))
    }
}

/// What the `split.` keys of each shard say must agree with the set. A file alone needs none of them.
fn check_split(shards: &[(Header, u64)]) -> Result<(), Error> {
    let got = shards.len() as u64;
    for (shard, (header, _)) in shards.iter().enumerate() {
        let expected = header.metadata.u64(SPLIT_COUNT)?.unwrap_or(1).max(1);
        if expected != got {
            return Err(Error::ShardCount { expected, got });
        }
        let (expected, got) = (shard as u64, header.metadata.u64(SPLIT_NO)?.unwrap_or(0));
        if expected != got {
            return Err(Error::ShardNumber { expected, got });
        }
    }
    let got = shards.iter().map(|(header, _)| header.tensors.len() as u64).sum();
    for (header, _) in shards {
        let expected = header.metadata.u64(SPLIT_TENSORS)?.unwrap_or(got);
        if expected != got {
            return Err(Error::ShardTensors { expected, got });
        }
    }
    Ok(())
}

/// Adds what shard number `shard` says of itself and its set.
pub(crate) fn set_split(metadata: &mut Metadata, shard: u16, shard_count: u16, tensors: i32) {
    metadata.set(SPLIT_NO, shard);
    metadata.set(SPLIT_COUNT, shard_count);
    metadata.set(SPLIT_TENSORS, tensors);
}

/// The names of a whole set, in order, from that of any of its shards: `PREFIX-00001-of-00003.gguf` gives three.
/// `None` where `name` is not of this form. A path or URL before the name stays.
pub fn shard_names(first_name: &str) -> Option<Vec<String>> {
    let stem = first_name.strip_suffix(".gguf")?;
    let (stem, count) = stem.rsplit_once("-of-")?;
    let (prefix, number) = stem.rsplit_once('-')?;
    let (number, count) = (five_digits(number)?, five_digits(count)?);
    (1..=count).contains(&number).then(|| (1..=count).map(|n| format!("{prefix}-{n:05}-of-{count:05}.gguf")).collect())
}

fn five_digits(digits: &str) -> Option<u32> {
    let decimal = digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit());
    decimal.then(|| digits.parse().ok())?
}
