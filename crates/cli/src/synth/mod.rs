//! `quire synth`: random weights at a real model's widths, for tests of size and speed.

mod metadata;
mod random;
mod tensors;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;
use gguf::Writer;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::output;
use random::Random;

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
    let written = write(args, &part).and_then(|bytes| {
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

/// Writes the file, never holding more than a chunk of it; returns its size.
fn write(args: &Args, path: &std::path::Path) -> Result<u64> {
    let plan = tensors::plan(args.layers);
    let mut writer = Writer::new(metadata::metadata(args.layers)?)?;
    for tensor in &plan {
        writer.add(&tensor.name, &tensor.shape, tensor.dtype)?;
    }
    let sizes: Vec<u64> = writer.tensors().iter().map(|tensor| tensor.bytes).collect();

    let bar = ProgressBar::new(sizes.iter().sum()).with_message("writing");
    // A broken template would leave the default style.
    if let Ok(style) = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    let mut random = Random::new(args.seed);
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
