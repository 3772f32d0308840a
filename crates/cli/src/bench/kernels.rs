//! `quire bench kernels`: how long each kernel takes, and how near that is to what the adapter can do.

use std::time::Duration;

use anyhow::Result;
use engine::{Cancel, KernelTime, Need, Timings, Urgency};
use kernels::ops::Pass;
use measures::Row;
use serde::Serialize;

use super::Out;
use crate::args::{self, Limits};
use crate::{load, output};

/// Measure each kernel of a step of a model on its own
///
/// A row is one kernel over one shape, with the time of one dispatch, how much of the whole step it takes, and the rates at which it
/// reads weights and computes with them. What takes longer at best, reading them as fast as a large copy moves bytes or
/// computing as fast as a large product of f32 does, is its bound.
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
    #[command(flatten)]
    out: Out,
}

#[derive(Debug, Serialize)]
struct Report {
    date: String,
    model: String,
    adapter: String,
    slots: u32,
    tokens: u32,
    /// Read and written.
    copy_gb_per_second: f64,
    product_gflop_per_second: f64,
    step_ms: f64,
    kernels: Vec<Kernel>,
}

/// The dispatches of one kernel over one shape.
#[derive(Debug, Serialize)]
pub(super) struct Kernel {
    kernel: &'static str,
    /// Of kernels that have two shapes.
    variant: Option<&'static str>,
    /// Of the matrix, and how often it is multiplied.
    rows: Option<u32>,
    columns: Option<u32>,
    workgroups: [u32; 3],
    dispatches: usize,
    /// Of one dispatch.
    ms: f64,
    /// Of all kernels' time.
    share_of_step: f64,
    /// Weights read and computed with, for kernels that read any.
    gb_per_second: Option<f64>,
    gflop_per_second: Option<f64>,
    bound: Option<&'static str>,
    /// The time that the bound allows, of the time that it takes.
    share_of_bound: Option<f64>,
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
    let report = Report {
        date: measures::today(),
        model: loaded.name().to_owned(),
        adapter: loaded.engine.gpu().adapter(),
        slots: loaded.engine.model().n_slots,
        tokens: pass.n_tokens(),
        copy_gb_per_second: timings.ceiling.bytes / 1e9,
        product_gflop_per_second: timings.ceiling.operations / 1e9,
        step_ms: step(&timings) * 1e3,
        kernels: kernels(&timings),
    };
    let (adapter, model) = (report.adapter.clone(), report.model.clone());
    let (slots, tokens) = (Some(report.slots), Some(report.tokens));
    args.out.add(&rows(&timings, &Row { adapter, model, slots, context: Some(0), tokens, ..args.out.row() }))?;
    if args.json { output::json(&report) } else { output::bytes(text(&report).as_bytes()) }
}

fn all(kernel: &KernelTime) -> f64 {
    kernel.seconds * kernel.dispatches as f64
}

/// Seconds of all kernels.
fn step(timings: &Timings) -> f64 {
    timings.kernels.iter().map(all).sum()
}

fn kernels(timings: &Timings) -> Vec<Kernel> {
    let step = step(timings);
    let kernel = |k: &KernelTime| {
        let least = timings.ceiling.least(k.work);
        let rate = |work: u64| least.map(|_| work as f64 / k.seconds / 1e9);
        Kernel {
            kernel: k.kernel,
            variant: k.is_wide.map(|is_wide| if is_wide { "wide" } else { "narrow" }),
            rows: k.product.map(|product| product.n_rows),
            columns: k.product.map(|product| product.n_columns),
            workgroups: k.workgroups,
            dispatches: k.dispatches,
            ms: k.seconds * 1e3,
            share_of_step: all(k) / step,
            gb_per_second: rate(k.work.weight_bytes),
            gflop_per_second: rate(k.work.operations),
            bound: least.map(|(_, need)| match need {
                Need::Bytes => "bytes",
                Need::Operations => "operations",
            }),
            share_of_bound: least.map(|(seconds, _)| seconds / k.seconds),
        }
    };
    timings.kernels.iter().map(kernel).collect()
}

/// What was found as measurements, alike in all else to `like`.
pub(super) fn rows(timings: &Timings, like: &Row) -> Vec<Row> {
    let row = |measure: String, value, unit: &str| Row { measure, value, unit: unit.to_owned(), ..like.clone() };
    let mut rows = vec![
        row("copy".to_owned(), timings.ceiling.bytes / 1e9, "GB/s"),
        row("product".to_owned(), timings.ceiling.operations / 1e9, "GFLOP/s"),
    ];
    let mut seen: Vec<String> = Vec::new();
    for kernel in kernels(timings) {
        let what = match kernel.rows {
            Some(n) => format!("{}, {n} rows", kernel.kernel),
            None => format!("{}, {} groups", kernel.kernel, kernel.workgroups.iter().product::<u32>()),
        };
        seen.push(what.clone());
        // Buffers may differ in size where nothing else does: layers that slide keep fewer keys.
        let nth = seen.iter().filter(|other| **other == what).count();
        let what = if nth > 1 { format!("{what}, kind {nth}") } else { what };
        let numbers = [
            (Some(kernel.ms * 1e3), "us"),
            (kernel.gb_per_second, "GB/s"),
            (kernel.gflop_per_second, "GFLOP/s"),
            (kernel.share_of_bound, if kernel.bound == Some("bytes") { "of the copy" } else { "of the product" }),
        ];
        for (value, unit) in numbers.into_iter().filter_map(|(value, unit)| Some((value?, unit))) {
            let variant = kernel.variant.unwrap_or_default().to_owned();
            rows.push(Row { variant, ..row(what.clone(), value, unit) });
        }
    }
    rows
}

/// For people.
fn text(report: &Report) -> String {
    let Report { model, adapter, tokens, copy_gb_per_second, product_gflop_per_second, step_ms, kernels, .. } = report;
    let mut text = format!(
        "{model} on {adapter}\n{tokens} tokens a step; {step_ms:.1} ms of kernels; a large copy moves {copy_gb_per_second:.1} GB/s, a large \
         product does {product_gflop_per_second:.1} GFLOP/s\n\n  {:38}{:>8}{:>14}{:>7}{:>10}{:>7}{:>8}{:>9}  {}\n",
        "kernel", "variant", "workgroups", "times", "ms each", "step", "GB/s", "GFLOP/s", "of bound",
    );
    for kernel in kernels {
        let Kernel { kernel: name, workgroups: [x, y, z], dispatches, ms, share_of_step, .. } = kernel;
        let groups = if *z == 1 { format!("{x} x {y}") } else { format!("{x} x {y} x {z}") };
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |r| format!("{r:.2}"));
        let (bytes, operations) = (rate(kernel.gb_per_second), rate(kernel.gflop_per_second));
        let share = kernel.share_of_bound.map_or("-".to_owned(), |s| format!("{:.0} % {}", s * 1e2, kernel.bound.unwrap_or_default()));
        let variant = kernel.variant.unwrap_or("-");
        text.push_str(&format!(
            "  {name:38}{variant:>8}{groups:>14}{dispatches:>7}{ms:>10.3}{:>5.0} %{bytes:>8}{operations:>9}  {share}\n",
            share_of_step * 1e2
        ));
    }
    text
}
