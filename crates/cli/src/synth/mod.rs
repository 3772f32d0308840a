//! `quire synth`: random weights at a real model's widths, for tests of size and speed.

mod metadata;
mod random;
mod source;
mod tensors;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;
use gguf::{Metadata, Writer};
use serde_json::json;

use crate::output;
pub(crate) use random::Random;
pub(crate) use source::SynthSource;
pub(crate) use tensors::N_VOCAB;
use tensors::Tensor;

/// Write a GGUF of random weights at a real model's widths
///
/// For tests of size and speed: what such a model says is noise.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model whose widths, types and vocabulary to take
    #[arg(long, value_enum)]
    like: Like,
    /// Layers; the real model has 24
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u32).range(1..=1024))]
    layers: u32,
    /// Of the random weights
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// The file to write; 1.7 GB with one layer, 0.4 GB more with each further one
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Like {
    #[value(name = "gpt-oss-20b")]
    GptOss20b,
}

/// Bytes made and written at once.
const CHUNK_BYTES: u64 = 4 << 20;

pub(crate) fn run(args: &Args) -> Result<()> {
    let Like::GptOss20b = args.like;
    let name = args.out.display().to_string();
    let part = args.out.with_extension("part");
    let began = Instant::now();
    // A file that was broken off must not look whole.
    let written = metadata::metadata(args.layers)
        .and_then(|metadata| write(metadata, &tensors::plan(args.layers, N_VOCAB), args.seed, &part))
        .and_then(|bytes| {
            std::fs::rename(&part, &args.out)?;
            Ok(bytes)
        });
    if written.is_err() {
        // It may never have been made.
        let _ = std::fs::remove_file(&part);
    }
    let bytes = written.with_context(|| format!("cannot write {name}"))?;
    log::info!("{} in {:.1} s", output::size(bytes), began.elapsed().as_secs_f64());
    output::json(&json!({"out": name, "layers": args.layers, "seed": args.seed, "bytes": bytes}))
}

/// A file of these tensors to be.
fn writer(metadata: Metadata, plan: &[Tensor]) -> Result<Writer> {
    let mut writer = Writer::new(metadata)?;
    for tensor in plan {
        writer.add(&tensor.name, &tensor.shape, tensor.dtype)?;
    }
    Ok(writer)
}

/// Writes the file, never holding more than a chunk of it; returns its size.
fn write(metadata: Metadata, plan: &[Tensor], seed: u64, path: &Path) -> Result<u64> {
    let writer = writer(metadata, plan)?;
    let sizes: Vec<u64> = writer.tensors().iter().map(|tensor| tensor.bytes).collect();
    let bar = output::progress("writing".to_owned(), sizes.iter().sum());
    let mut random = Random::new(seed);
    let mut data = writer.start(BufWriter::new(File::create(path)?))?;
    let mut chunk = Vec::new();
    for (tensor, bytes) in plan.iter().zip(sizes) {
        let block_bytes = tensor.dtype.block_bytes() as u64;
        let chunk_bytes = CHUNK_BYTES / block_bytes * block_bytes;
        let mut left = bytes;
        while left > 0 {
            chunk.resize(left.min(chunk_bytes) as usize, 0);
            tensor.values.fill(&mut chunk, &mut random);
            data.chunk(&chunk)?;
            left -= chunk.len() as u64;
            bar.inc(chunk.len() as u64);
        }
    }
    data.finish()?;
    bar.finish_and_clear();
    Ok(std::fs::metadata(path)?.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use gguf::{DType, Directory, Parsed};
    use kernels::ops::Pass;
    use model::{Model, Options};
    use tensors::Values;

    /// A file with one matrix that is longer than a chunk, as bytes.
    fn file(seed: u64) -> Vec<u8> {
        let name = format!("quire-synth-{}-{seed}-{:?}.gguf", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        let tensor = |name: &str, shape: &[u64], dtype, values| Tensor { name: name.into(), shape: shape.to_vec(), dtype, values };
        let plan = [
            tensor("norm", &[7], DType::F32, Values::F32 { mean: 1.0, spread: 0.1 }),
            tensor("experts", &[2880, 1000, 3], DType::Mxfp4, Values::Mxfp4 { exponent: 119 }),
        ];
        let bytes = write(Metadata::new(), &plan, seed, &path).unwrap();
        let file = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(file.len() as u64, bytes);
        file
    }

    #[test]
    fn a_file_is_whole_its_blocks_unbroken_and_its_seed_decides() {
        let once = file(1);
        let Parsed::Header(header) = gguf::parse(&once, once.len() as u64).unwrap() else { panic!("the header is cut") };
        let directory = Directory::new(vec![(header, once.len() as u64)]).unwrap();
        let experts = directory.get("experts").unwrap();
        let data = &once[experts.start as usize..][..experts.bytes as usize];
        assert!(data.chunks(17).all(|block| matches!(block[0], 119 | 120)), "every block has its scale in its place");
        assert!(once == file(1));
        assert!(once != file(2));
    }

    /// The types of a Q4_K_M file, for the tensors of `plan`: K-quants need rows of whole super-blocks.
    fn in_q4_k_m(plan: &mut [Tensor]) {
        let is_fine = |layer: u32| !(3..21).contains(&layer) || layer % 3 == 2;
        for tensor in plan {
            let layer = || tensor.name.split('.').nth(1).and_then(|layer| layer.parse().ok()).unwrap();
            tensor.dtype = match tensor.name.rsplit_once('.').unwrap() {
                (name, "weight") if name.ends_with("attn_v") && is_fine(layer()) => DType::Q8_0,
                (name, "weight") if ["token_embd", "attn_q", "attn_k", "attn_v"].iter().any(|end| name.ends_with(end)) => DType::Q5_0,
                (name, "weight") if name.ends_with("attn_output") => DType::Q4K,
                _ => tensor.dtype,
            };
        }
    }

    /// A model of these tensors for a context of 131,072 tokens.
    fn laid_out(plan: &[Tensor], max_binding: u64) -> Model {
        let writer = writer(metadata::metadata(24).unwrap(), plan).unwrap();
        let mut bytes = writer.header().unwrap();
        let size = bytes.len() as u64 + writer.tensors().last().map_or(0, |last| last.offset + last.bytes);
        bytes.resize(bytes.len() + 64, 0);
        let Parsed::Header(header) = gguf::parse(&bytes, size).unwrap() else { panic!("the header is cut") };
        let directory = Directory::new(vec![(header, size)]).unwrap();
        Model::new(&directory, Options { context: 131_072, max_binding, ..Options::default() }).unwrap()
    }

    #[test]
    fn a_token_of_24_layers_takes_at_most_200_dispatches_unless_q4_k_m_meets_small_bindings() {
        let dispatches = |plan: &[Tensor], max_binding: u64| {
            let model = laid_out(plan, max_binding);
            let mut step = model.forward(Pass::Alone);
            model.sample(&mut step, Pass::Alone);
            step.commands.len()
        };
        let mut plan = tensors::plan(24, N_VOCAB);
        let whole = Options::default().max_binding;
        // Layers that see all keys have a merge; so an eighth dispatch.
        assert_eq!(dispatches(&plan, whole), 12 * 7 + 12 * 8 + 5);
        assert_eq!(dispatches(&plan, 128 << 20), 193);
        in_q4_k_m(&mut plan);
        assert_eq!(plan.iter().filter(|tensor| tensor.dtype == DType::Q8_0).count(), 13);
        assert_eq!(dispatches(&plan, whole), 197);
        assert_eq!(dispatches(&plan, 128 << 20), 203);
    }
}
