//! `quire bench batch`: what answering several sequences together is worth.

use std::time::Instant;

use anyhow::{Result, ensure};
use engine::{Batch, Cancel, Engine, Request, Said, SamplingOptions, Urgency};
use model::Options;
use serde::Serialize;

use crate::args::{self, Limits};
use crate::{load, output};

/// Measure decode of several sequences in one step
///
/// For each N the model is laid out as `quire serve --parallel N` does; then N sequences decode together, and one of them alone.
#[derive(Debug, clap::Args)]
pub(super) struct BatchArgs {
    #[command(flatten)]
    model: args::Model,
    /// Sequences at a time
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2,4,8",
        value_parser = clap::value_parser!(u32).range(1..=args::MOST_PARALLEL))]
    parallel: Vec<u32>,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u32).range(1..))]
    prefill: u32,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u32).range(2..))]
    decode: u32,
    #[command(flatten)]
    limits: Limits,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    adapter: String,
    decode_tokens: u32,
    batches: Vec<Row>,
}

/// Tokens a second, and the memory that it takes.
#[derive(Debug, Serialize)]
struct Row {
    parallel: u32,
    /// Of all sequences.
    decode_tps: f64,
    /// Of one where the others' places are free.
    alone_tps: f64,
    gpu_bytes: u64,
}

pub(super) async fn run(args: &BatchArgs) -> Result<()> {
    let files = load::open(&args.model).await?;
    let mut report = None;
    for &parallel in &args.parallel {
        let options = Options { sequences: parallel, ..load::options(&args.model.location, &files, &args.limits)? };
        ensure!(args.prefill + args.decode <= options.context, "{} + {} tokens exceed the context", args.prefill, args.decode);
        let mut loaded = load::load(&args.model.location, &files, &args.limits, options).await?;
        let engine = &mut loaded.engine;
        engine.fill(Urgency::Demand, &Cancel::default()).await?;
        let mut row = Row { parallel, decode_tps: 0.0, alone_tps: 0.0, gpu_bytes: engine.gpu_bytes() };
        for (n, tps) in [(parallel, &mut row.decode_tps), (1, &mut row.alone_tps)] {
            // The first makes what the second uses again.
            decode(engine, n, args.prefill, 4.min(args.decode)).await?;
            *tps = decode(engine, n, args.prefill, args.decode).await?;
        }
        let (model, adapter) = (loaded.name().to_owned(), loaded.engine.gpu().adapter());
        let report = report.get_or_insert_with(|| Report { model, adapter, decode_tokens: args.decode, batches: Vec::new() });
        report.batches.push(row);
    }
    let Some(report) = report else { return Ok(()) };
    if args.json { output::json(&report) } else { output::bytes(text(&report).as_bytes()) }
}

/// Tokens a second of `n` sequences together, from when all prompts are computed on.
async fn decode(engine: &mut Engine, n: u32, prefill: u32, decode: u32) -> Result<f64> {
    let n_vocab = engine.model().config.n_vocab;
    let mut batch = Batch::new(engine);
    for i in 0..n {
        let prompt: Vec<u32> = (0..prefill).map(|at| (i * 101 + at * 31 + 1) % n_vocab).collect();
        // Those who come first are not to have ended when the last has come.
        let request = Request { prompt: &prompt, max_tokens: decode + n, sampling: SamplingOptions::greedy(), stops: &[] };
        batch.join(&request, None, &Cancel::default())?;
    }
    let (mut waiting, mut n_tokens, mut began) = (n, 0, Instant::now());
    while n_tokens < n * (decode - 1) {
        for (_, said) in batch.step().await? {
            match said {
                Said::Prefill { done, total } if done == total => waiting -= 1,
                Said::Token(_) if waiting == 0 => n_tokens += 1,
                Said::Failed(error) => return Err(error.into()),
                Said::Prefill { .. } | Said::Token(_) | Said::Done(_) => {}
            }
            if waiting > 0 {
                began = Instant::now();
            }
        }
        ensure!(!batch.is_empty() || n_tokens >= n * (decode - 1), "the context is too short");
    }
    let took = began.elapsed().as_secs_f64();
    batch.end().await?;
    Ok(f64::from(n_tokens) / took)
}

/// For people.
fn text(report: &Report) -> String {
    let mut text = format!("{} on {}\n  parallel   together      each     alone    memory\n", report.model, report.adapter);
    for Row { parallel, decode_tps, alone_tps, gpu_bytes } in &report.batches {
        let each = decode_tps / f64::from(*parallel);
        text.push_str(&format!("  {parallel:>8} {decode_tps:>10.2} {each:>9.2} {alone_tps:>9.2} {:>9}\n", output::size(*gpu_bytes)));
    }
    text + "  (tokens a second)\n"
}
