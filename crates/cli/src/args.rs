//! Options that several commands share, and how their values are read.

use std::env;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

use engine::SamplingOptions;
use kernels::ops::{KvType, MAX_SEQUENCES};
use store::Directory;

/// A model, and where it is kept if it comes over the network.
#[derive(Debug, clap::Args)]
pub(crate) struct Model {
    /// A path, a URL, or a name from `cargo xtask models`
    #[arg(value_name = "MODEL")]
    pub(crate) location: String,
    /// JSON that says size and SHA-256 of each file of a model by URL: a path or a URL
    ///
    /// {"files": [{"url": NAME, "size": BYTES, "sha256": HEX}]}. What is kept of such a file is used wherever it came
    /// from, and held against its sum; of a path, and with --no-cache, the size alone is checked.
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<String>,
    #[command(flatten)]
    pub(crate) cache: Cache,
}

/// What is to be kept of that which comes over the network.
#[derive(Debug, clap::Args)]
pub(crate) struct Cache {
    /// Directory for what comes over the network [default: $QUIRE_CACHE, or quire where this system keeps caches]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Keep nothing, and use nothing that is kept
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
}

impl Cache {
    /// `None` if nothing is to be kept, or there is no place for it.
    pub(crate) fn home(&self) -> Option<Directory> {
        if self.no_cache { None } else { home(self.cache.clone()) }
    }
}

/// What is kept in `directory`, or where the environment or the system says.
pub(crate) fn home(directory: Option<PathBuf>) -> Option<Directory> {
    let named = || env::var_os("QUIRE_CACHE").filter(|path| !path.is_empty()).map(PathBuf::from);
    directory.or_else(named).or_else(Directory::default_root).map(Directory::new)
}

/// Sequences that can be answered at a time.
pub(crate) const MOST_PARALLEL: i64 = MAX_SEQUENCES as i64;

/// What a loaded model may take.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Limits {
    /// Positions to keep keys and values for [default: 4096, or the model's own if that is less]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) context: Option<u32>,
    /// Take no more GPU memory than this, and page experts that do not fit: 4G, 512M, or plain bytes [default: all that a GPU has, half of what
    /// it shares with this machine]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) gpu_memory: Option<u64>,
    /// Hold so much of what is read of experts in this machine's memory, where the GPU does not have room: 4G, 512M, or plain bytes
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) ram: Option<u64>,
    /// Keep so many experts of each layer on the GPU, more than a token uses [default: all that fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) slots: Option<u32>,
    /// How keys and values are kept: f16, q8_0 (9/16 of its memory) or f32 (twice) [default: f16]
    #[arg(long, value_name = "TYPE")]
    pub(crate) kv: Option<KvType>,
}

/// How the next token is chosen, but for the temperature, whose default is the command's.
#[derive(Debug, clap::Args)]
pub(crate) struct Sampling {
    /// Choose among the most likely tokens that together have this probability; 0 is the likeliest one
    #[arg(long, value_name = "P", default_value = "1", value_parser = probability)]
    top_p: f32,
    /// Choose among this many most likely tokens; 0 is all
    #[arg(long, value_name = "N", default_value = "0")]
    top_k: u32,
    /// Choose among tokens at least this likely, relative to the likeliest
    #[arg(long, value_name = "P", default_value = "0", value_parser = probability)]
    min_p: f32,
    /// Of the random numbers; the same seed gives the same answer [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
}

impl Sampling {
    pub(crate) fn options(&self, temperature: f32) -> SamplingOptions {
        let Self { top_p, top_k, min_p, .. } = *self;
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() as u32);
        SamplingOptions { temperature, top_p, top_k, min_p, seed, ..SamplingOptions::default() }
    }
}

/// Token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids(pub(crate) Vec<u32>);

/// Ids with commas or white space between them; brackets as of a JSON array do no harm.
pub(crate) fn ids(text: &str) -> Result<Ids, String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']'));
    let id = |word: &str| word.parse().map_err(|_| format!("{word:?} is no token id"));
    words.filter(|word| !word.is_empty()).map(id).collect::<Result<_, _>>().map(Ids)
}

/// The same, at least one.
pub(crate) fn some_ids(text: &str) -> Result<Ids, String> {
    ids(text).and_then(|ids| if ids.0.is_empty() { Err("there is no token id".to_owned()) } else { Ok(ids) })
}

/// A number of bytes, with an optional unit K, M, G or T, powers of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let plain = text.trim_end_matches(['b', 'B']).trim_end_matches(['i', 'I']);
    let number = plain.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match plain[number.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        unit => return Err(format!("{unit:?} is no unit: K, M, G and T are")),
    };
    let value: f64 = number.trim_end().parse().map_err(|_| format!("{number:?} is no number"))?;
    let bytes = value * (1u64 << shift) as f64;
    if (1.0..=u64::MAX as f64).contains(&bytes) { Ok(bytes as u64) } else { Err("must be at least one byte".to_owned()) }
}

fn number(text: &str, holds: impl Fn(f32) -> bool, expected: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("expected {expected}"))?;
    if value.is_finite() && holds(value) { Ok(value) } else { Err(format!("expected {expected}")) }
}

pub(crate) fn temperature(text: &str) -> Result<f32, String> {
    number(text, |value| value >= 0.0, "a number, 0 or more")
}

fn probability(text: &str) -> Result<f32, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "a number from 0 to 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_with_commas_or_spaces_or_as_json() {
        for text in ["1,22,333", "1 22\n333\n", "[1, 22, 333]", " 1,,22 ,333"] {
            assert_eq!(ids(text), Ok(Ids(vec![1, 22, 333])), "{text:?}");
        }
        assert_eq!(ids(" \n"), Ok(Ids(vec![])));
        for text in ["1,x", "-1", "4294967296", "1.5"] {
            assert!(ids(text).is_err(), "{text:?}");
        }
        assert!(some_ids("").is_err());
    }

    #[test]
    fn bytes_may_have_a_unit() {
        assert_eq!(bytes("4G"), Ok(4 << 30));
        assert_eq!(bytes("512M"), Ok(512 << 20));
        assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(bytes("64 kb"), Ok(64 << 10));
        assert_eq!(bytes("1000"), Ok(1000));
        for text in ["", "G", "4X", "-1G", "0", "nan", "inf", "1e40"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
    }
}
