//! `quire bench`: how fast a model and each of its kernels run, what a missing expert costs, and how well a policy keeps experts.

mod batch;
mod cache;
mod drafts;
mod gpu;
mod kernels;
mod misses;
mod model;
mod plain;
mod replay;
mod serve;
mod ways;

use std::path::PathBuf;

use anyhow::{Result, bail};
use measures::{Row, Sheet};

/// Measure prefill and decode, and what a token costs
///
/// Runs a warm-up first. Dispatches, bind groups and bytes are those of one decoded token. A model whose name is that of
/// a command below is reached as ./NAME.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// A path, a URL, or a name from `cargo xtask models`
    #[arg(value_name = "MODEL", required = true)]
    model: Option<String>,
    #[command(flatten)]
    options: model::Options,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Batch(batch::BatchArgs),
    Cache(cache::CacheArgs),
    Drafts(drafts::DraftArgs),
    Gpu(gpu::GpuArgs),
    Kernels(kernels::KernelArgs),
    Misses(misses::MissArgs),
}

/// Where measurements are kept.
#[derive(Debug, clap::Args)]
struct Out {
    /// Add each number as a row to a CSV file, which `cargo xtask bench --compare` reads
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What else to say of these rows: what the machine did besides, for example
    #[arg(long, value_name = "WORDS", default_value = "")]
    conditions: String,
}

impl Out {
    /// What all rows have alike.
    fn row(&self) -> Row {
        Row { date: measures::today(), platform: "native".to_owned(), conditions: self.conditions.clone(), ..Row::default() }
    }

    fn add(&self, rows: &[Row]) -> Result<()> {
        let Some(path) = &self.out else { return Ok(()) };
        let mut sheet = Sheet::open(path)?;
        Ok(rows.iter().try_for_each(|row| sheet.add(row))?)
    }
}

pub(crate) async fn run(args: Args) -> Result<()> {
    match (args.command, args.model) {
        (Some(Command::Batch(args)), _) => batch::run(&args).await,
        (Some(Command::Cache(args)), _) => cache::run(&args),
        (Some(Command::Drafts(args)), _) => drafts::run(&args).await,
        (Some(Command::Gpu(args)), _) => gpu::run(&args).await,
        (Some(Command::Kernels(args)), _) => kernels::run(&args).await,
        (Some(Command::Misses(args)), _) => misses::run(&args).await,
        (None, Some(model)) => model::run(&model, &args.options).await,
        (None, None) => bail!("a MODEL or a command is needed"),
    }
}
