//! `quire logits`: what the model thinks of every next token, for comparisons.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use kernels::ops::KvType;
use model::Options;
use serde_json::json;

use crate::args::{self, Ids, Limits};
use crate::{load, output};

/// Write the logits that follow token ids to a file
///
/// Raw little-endian f32, a row of the vocabulary's length for the last position, or for all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
    /// Token ids, fed as they are: 1,2,3
    #[arg(long, value_name = "IDS", value_parser = args::some_ids)]
    tokens: Ids,
    /// Where to write: f32, little-endian, rows of the vocabulary's length
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A row for every position, not the last alone
    #[arg(long)]
    all: bool,
    /// Round YaRN's correction range, as llama.cpp does and the trained model does not
    #[arg(long)]
    yarn_rounded: bool,
    #[command(flatten)]
    limits: Limits,
}

/// Positions whose logits are made at once.
const ROWS: u32 = 64;

pub(crate) async fn run(args: Args) -> Result<()> {
    let model = &args.model.location;
    let files = load::open(&args.model).await?;
    let options = load::options(model, &files, &args.limits)?;
    // Its own precision is what is to be seen.
    let kv = args.limits.kv.unwrap_or(KvType::F32);
    let row_bytes = u64::from(model::Config::new(&files.directory)?.n_vocab) * 4;
    let most = u32::try_from(options.max_binding / row_bytes).unwrap_or(ROWS);
    let options = Options { kv, yarn_rounded: args.yarn_rounded, logit_rows: ROWS.min(most).max(1), ..options };
    let mut loaded = load::load(model, &files, &args.limits, options).await?;
    let logits = loaded.engine.logits(&args.tokens.0, args.all).await?;

    let name = args.out.display().to_string();
    let written = File::create(&args.out).and_then(|file| {
        let mut file = BufWriter::new(file);
        logits.iter().try_for_each(|logit| file.write_all(&logit.to_le_bytes()))?;
        file.flush()
    });
    written.with_context(|| format!("cannot write {name}"))?;
    let n_vocab = loaded.engine.model().config.n_vocab;
    output::json(&json!({"out": name, "n_positions": logits.len() / n_vocab as usize, "n_vocab": n_vocab}))
}
