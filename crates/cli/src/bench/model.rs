//! `quire bench MODEL`: how fast prefill and decode are, and what a decoded token costs.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use engine::{Cancel, Counters, Engine, Event, Generated, Request, SamplingOptions, Urgency};
use serde::Serialize;

use crate::args::{Cache, Limits};
use crate::{load, output};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Prompt tokens
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..))]
    prefill: u32,
    /// Tokens to generate
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u32).range(2..))]
    decode: u32,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    cache: Cache,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    adapter: String,
    prefill_tokens: u32,
    decode_tokens: u32,
    prefill_tps: Option<f64>,
    decode_tps: Option<f64>,
    #[serde(flatten)]
    per_token: PerToken,
    /// Experts that were not on the GPU when they were wanted, of prompt and answer together; fetching them is in the rates.
    misses: u64,
    gpu_bytes: u64,
}

/// Work of one decoded token.
#[derive(Debug, Serialize)]
struct PerToken {
    dispatches: f64,
    bind_groups: f64,
    /// By the host, to the GPU.
    bytes_written: f64,
    /// By the host, from the GPU.
    bytes_read: f64,
}

/// Tokens of the warm-up's answer: enough to make the decode step's bind groups and to learn its pace.
const WARM_UP_DECODE: u32 = 4;

pub(super) async fn run(model: &str, args: &Options) -> Result<()> {
    let files = load::open_in(args.cache.home(), model).await?;
    let options = load::options(model, &files, &args.limits)?;
    let (needed, context) = (u64::from(args.prefill) + u64::from(args.decode), options.context);
    if needed > u64::from(context) {
        bail!("{} + {} tokens need a context of {needed}, it is {context}", args.prefill, args.decode);
    }
    let mut loaded = load::load(model, &files, &args.limits, options).await?;
    let engine = &mut loaded.engine;
    engine.fill(Urgency::Demand, &Cancel::default()).await?;
    // Prompts that differ from their first token on: nothing is kept from one to the next.
    let n_vocab = engine.model().config.n_vocab;
    let prompt = |first: u32| (0..args.prefill).map(|i| (first + i * 31) % n_vocab).collect::<Vec<u32>>();
    measure(engine, &prompt(1), WARM_UP_DECODE.min(args.decode)).await?;
    let misses = engine.paging().misses;
    let (generated, decode) = measure(engine, &prompt(2), args.decode).await?;
    let misses = engine.paging().misses - misses;

    let steps = f64::from(args.decode - 1);
    let report = Report {
        model: loaded.name().to_owned(),
        adapter: loaded.engine.gpu().adapter(),
        prefill_tokens: args.prefill,
        decode_tokens: args.decode,
        prefill_tps: output::per_second(args.prefill as usize - generated.n_reused, generated.prefill_seconds),
        decode_tps: output::per_second(generated.ids.len() - 1, generated.decode_seconds),
        per_token: PerToken {
            dispatches: decode.dispatches as f64 / steps,
            bind_groups: decode.bind_groups as f64 / steps,
            bytes_written: decode.bytes_written as f64 / steps,
            // The prompt's own token is read back too.
            bytes_read: decode.bytes_read as f64 / f64::from(args.decode),
        },
        misses,
        gpu_bytes: loaded.engine.gpu_bytes(),
    };
    if args.json { output::json(&report) } else { output::bytes(text(&report).as_bytes()) }
}

/// Generates exactly `n` tokens. The counters are of what came after the prompt was submitted: `n - 1` steps and the
/// readbacks of `n` tokens.
async fn measure(engine: &mut Engine, prompt: &[u32], n: u32) -> Result<(Generated, Counters)> {
    let request = Request { prompt, max_tokens: n, sampling: SamplingOptions::greedy(), stops: &[] };
    let gpu = engine.gpu().clone();
    let mut before = gpu.counters();
    let mut on_event = |event: Event<'_>| {
        if let Event::Prefill { .. } = event {
            before = gpu.counters();
        }
        ControlFlow::Continue(())
    };
    let generated = engine.generate(&request, &Cancel::default(), &mut on_event).await?;
    Ok((generated, gpu.counters() - before))
}

/// For people.
fn text(report: &Report) -> String {
    let rate = |tps: Option<f64>| tps.map_or("not measured".to_owned(), |tps| format!("{tps:.2} tok/s"));
    let PerToken { dispatches, bind_groups, bytes_written, bytes_read } = &report.per_token;
    format!(
        "{} on {}\n  prefill  {} over {} tokens\n  decode   {} over {} tokens\n  a token  {dispatches:.0} dispatches, {bind_groups:.0} bind groups, \
         {bytes_written:.0} B written, {bytes_read:.0} B read\n  experts  {} missed\n  memory   {} on the GPU\n",
        report.model,
        report.adapter,
        rate(report.prefill_tps),
        report.prefill_tokens,
        rate(report.decode_tps),
        report.decode_tokens,
        report.misses,
        output::size(report.gpu_bytes),
    )
}
