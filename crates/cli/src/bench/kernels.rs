//! `quire bench kernels`: how long each kernel takes, and how near that is to what the adapter can do.

use std::time::Duration;

use anyhow::Result;
use engine::{Cancel, KernelTime, Timings, Urgency};
use kernels::ops::Pass;
use serde::Serialize;

use crate::args::{self, Limits};
use crate::{load, output};

/// Measure each kernel of a step of a model on its own
///
/// A row is one kernel over one shape, with the time of one dispatch, how much of the whole step it takes, and the rate at which
/// it reads weights. That rate is held against a large copy on the same adapter.
#[derive(Debug, clap::Args)]
pub(super) struct KernelArgs {
    #[command(flatten)]
    model: args::Model,
    /// Tokens of the step: 1 is decode
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=512))]
    tokens: u32,
    /// Decode of so many sequences instead
    #[arg(long, value_name = "N", conflicts_with = "tokens", value_parser = clap::value_parser!(u32).range(1..=args::MOST_PARALLEL))]
    parallel: Option<u32>,
    /// Milliseconds for each kernel, at least
    #[arg(long, value_name = "MS", default_value = "500", value_parser = clap::value_parser!(u64).range(..=60_000))]
    ms: u64,
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
    tokens: u32,
    copy_gb_per_second: f64,
    step_ms: f64,
    kernels: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    kernel: &'static str,
    workgroups: [u32; 3],
    dispatches: usize,
    /// Of one dispatch.
    ms: f64,
    /// Of all kernels' time.
    share_of_step: f64,
    /// Weights read, for kernels that read any.
    gb_per_second: Option<f64>,
    /// Of the copy's rate.
    share_of_copy: Option<f64>,
}

pub(super) async fn run(args: &KernelArgs) -> Result<()> {
    let files = load::open(&args.model).await?;
    let mut options = load::options(&args.model.location, &files, &args.limits)?;
    options.chunk = options.chunk.max(args.tokens);
    options.sequences = args.parallel.unwrap_or(1);
    let mut loaded = load::load(&args.model.location, &files, &args.limits, options).await?;
    loaded.engine.fill(Urgency::Demand, &Cancel::default()).await?;
    let pass = match args.parallel {
        Some(most) => Pass::Batch { n: most.next_power_of_two(), most },
        None => Pass::of(args.tokens),
    };
    let timings = loaded.engine.time_kernels(pass, Duration::from_millis(args.ms)).await?;
    let report = report(loaded.name().to_owned(), loaded.engine.gpu().adapter(), pass.n_tokens(), &timings);
    if args.json { output::json(&report) } else { output::bytes(text(&report).as_bytes()) }
}

fn report(model: String, adapter: String, tokens: u32, timings: &Timings) -> Report {
    let all = |k: &KernelTime| k.seconds * k.dispatches as f64;
    let step: f64 = timings.kernels.iter().map(all).sum();
    let row = |k: &KernelTime| {
        let rate = (k.weight_bytes > 0).then(|| k.weight_bytes as f64 / k.seconds);
        Row {
            kernel: k.kernel,
            workgroups: k.workgroups,
            dispatches: k.dispatches,
            ms: k.seconds * 1e3,
            share_of_step: all(k) / step,
            gb_per_second: rate.map(|r| r / 1e9),
            share_of_copy: rate.map(|r| r / timings.copy_bytes_per_second),
        }
    };
    let kernels = timings.kernels.iter().map(row).collect();
    Report { model, adapter, tokens, copy_gb_per_second: timings.copy_bytes_per_second / 1e9, step_ms: step * 1e3, kernels }
}

/// For people.
fn text(report: &Report) -> String {
    let Report { model, adapter, tokens, copy_gb_per_second, step_ms, kernels } = report;
    let mut text = format!(
        "{model} on {adapter}\n{tokens} tokens a step; {step_ms:.1} ms of kernels; a large copy does {copy_gb_per_second:.1} GB/s\n\n  \
         {:38}{:>12}{:>6}{:>10}{:>7}{:>8}{:>9}\n",
        "kernel", "workgroups", "times", "ms each", "step", "GB/s", "of copy",
    );
    for Row { kernel, workgroups: [x, y, z], dispatches, ms, share_of_step, gb_per_second, share_of_copy } in kernels {
        let groups = if *z == 1 { format!("{x} x {y}") } else { format!("{x} x {y} x {z}") };
        let rate = gb_per_second.map_or("-".to_owned(), |r| format!("{r:.2}"));
        let share = share_of_copy.map_or("-".to_owned(), |s| format!("{:.0} %", s * 1e2));
        text.push_str(&format!("  {kernel:38}{groups:>12}{dispatches:>6}{ms:>10.3}{:>5.0} %{rate:>8}{share:>9}\n", share_of_step * 1e2));
    }
    text
}
