//! `quire bench misses`: what it takes to bring a missing expert onto the GPU, by where its bytes are, and what this
//! machine could do at best.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use engine::{Cancel, Engine, Feed, Gpu, Reading, Run, Sink, Urgency};
use measures::{Row, median};
use model::{Model, Options};
use serde::Serialize;

use super::Out;
use super::plain::Disk;
use super::ways::{Tier, Way, runs_of, ways};
use crate::args::{self, Limits};
use crate::locate::locate;
use crate::{load, output};

/// Measure how long a missing expert takes, by tier: host memory, cache, disk, HTTP
///
/// Brings the experts of one token and layer at a time onto the GPU, as a miss in decode does, and holds that against
/// ceilings measured in between: plain writes to the GPU, plain reads of the same runs one after the other. Memory is
/// what --ram has; the cache is a directory as --cache has it, with a checksum for each chunk, made for the purpose; disk
/// is a file of one's own. All slots were filled before, as they are after a model's first answers. Before each read from
/// a disk the system is asked to drop the file from its page cache, where it can be asked. A file is served over HTTP by
/// this process itself.
#[derive(Debug, clap::Args)]
pub(super) struct MissArgs {
    /// A path, a URL, or a name from `cargo xtask models`
    #[arg(value_name = "MODEL")]
    model: String,
    /// Measurements of each kind, of which the median is taken
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    out: Out,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    adapter: String,
    bytes_per_expert: u64,
    /// Experts that are brought together.
    experts_at_once: u32,
    rounds: u32,
    /// Whether the page cache was emptied before reads from the disk.
    disk_is_cold: bool,
    tiers: Vec<Times>,
}

/// Milliseconds an expert, medians.
#[derive(Debug, Serialize)]
struct Times {
    tier: Tier,
    miss_ms: f64,
    /// Plain reads of the same bytes; absent (null) for what is in memory.
    read_ceiling_ms: Option<f64>,
    /// Plain writes of the same bytes.
    upload_ceiling_ms: f64,
    /// `miss_ms` by the slower of the ceilings.
    ratio: f64,
}

pub(super) async fn run(args: &MissArgs) -> Result<()> {
    let location = locate(&args.model)?;
    // Over the network is what is to be measured.
    let files = load::open_in(None, &location).await?;
    let options = load::options(&location, &files, &Limits::default())?;
    let gpu = Gpu::open().await?;
    let options = Options { max_binding: options.max_binding.min(gpu.max_binding()), ..options };
    let whole = Model::new(&files.directory, options.clone()).with_context(|| location.clone())?;
    let (n_experts, least) = (whole.config.experts.n, whole.least_slots());
    ensure!(whole.is_sparse() && least < n_experts, "{location}: no expert can be missed");
    let model = Model::new(&files.directory, Options { slots: Some(least), ..options })?;

    let root = args::home(None).map_or_else(std::env::temp_dir, |home| home.root().to_owned());
    fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
    let kept_in = tempfile::tempdir_in(&root).with_context(|| root.display().to_string())?;
    let mut ways = ways(&location, &whole, kept_in.path()).await?;
    let feed = Rc::new(Switch(RefCell::new(files.feed())));
    let mut engine = Engine::new(gpu, model, feed.clone(), Vec::new()).await?;
    // Memory that was never written to costs the system more than what is written.
    engine.fill(Urgency::Background, &Cancel::default()).await?;
    let mut bench = Bench { engine, feed, nth: 0 };

    let mut samples = vec![Vec::new(); ways.len()];
    let bar = output::progress("measuring".to_owned(), u64::from(args.rounds));
    // The first round warms up: pipelines, staging buffers, connections.
    for round in 0..=args.rounds {
        for (way, samples) in ways.iter_mut().zip(&mut samples) {
            let sample = bench.measure(way).await?;
            if round > 0 {
                samples.push(sample);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = Report {
        model: whole.config.name.clone(),
        adapter: bench.engine.gpu().adapter(),
        bytes_per_expert: whole.bytes.per_expert,
        experts_at_once: bench.n_at_once(),
        rounds: args.rounds,
        disk_is_cold: Disk::can_forget(),
        tiers: ways.iter().zip(&samples).map(|(way, samples)| Times::of(way.tier, samples)).collect(),
    };
    args.out.add(&rows(&report, least, &args.out.row()))?;
    if args.json { output::json(&report) } else { output::bytes(text(&report).as_bytes()) }
}

/// Seconds an expert.
#[derive(Clone, Copy, Debug)]
struct Sample {
    miss: f64,
    read: Option<f64>,
    upload: f64,
}

struct Bench {
    /// With the fewest slots.
    engine: Engine,
    feed: Rc<Switch>,
    /// Measurements so far, each in another layer than the one before.
    nth: usize,
}

impl Bench {
    /// As many as a token uses of a layer.
    fn n_at_once(&self) -> u32 {
        self.engine.model().config.experts.n_used
    }

    /// Brings experts that are missing in the next layer, once plainly and once as a miss.
    async fn measure(&mut self, way: &mut Way) -> Result<Sample> {
        let model = self.engine.model();
        let (layer, n_experts) = (self.nth % model.layers.len(), model.config.experts.n);
        self.nth += 1;
        let mut experts = Vec::new();
        for expert in 0..n_experts {
            if !self.engine.experts().check(layer as u32, expert)? {
                experts.push(expert);
            }
        }
        experts.truncate(self.n_at_once() as usize);
        let n = experts.len() as f64;
        let runs: Vec<Run> = experts.iter().flat_map(|&expert| runs_of(model, layer, expert)).collect();

        let bytes = way.bring(&runs).await?;
        let upload = self.engine.gpu().time_upload(&bytes).await?.as_secs_f64() / n;
        let read = way.read_plainly(&runs)?.map(|took| took.as_secs_f64() / n);
        *self.feed.0.borrow_mut() = way.files.feed();
        let before = way.given();
        let began = Instant::now();
        let experts: Vec<(u32, u32)> = experts.into_iter().map(|expert| (layer as u32, expert)).collect();
        self.engine.fetch(&experts, Urgency::Demand, &Cancel::default()).await?;
        let miss = began.elapsed().as_secs_f64() / n;
        if let Some((before, after)) = before.zip(way.given()) {
            ensure!(after - before >= bytes.len() as u64, "{:?} gave {} of {} bytes", way.tier, after - before, bytes.len());
        }
        Ok(Sample { miss, read, upload })
    }
}

/// Experts' bytes from the tier that is being measured.
#[derive(Debug)]
struct Switch(RefCell<Rc<dyn Feed>>);

impl Feed for Switch {
    fn read<'a>(&'a self, runs: &'a [Run], urgency: Urgency, sink: &'a mut Sink<'_>) -> Reading<'a> {
        let feed = self.0.borrow().clone();
        Box::pin(async move { feed.read(runs, urgency, sink).await })
    }
}

impl Times {
    fn of(tier: Tier, samples: &[Sample]) -> Self {
        let miss_ms = median(samples.iter().map(|s| s.miss)) * 1e3;
        let upload_ceiling_ms = median(samples.iter().map(|s| s.upload)) * 1e3;
        let reads: Vec<f64> = samples.iter().filter_map(|s| s.read).collect();
        let read_ceiling_ms = (!reads.is_empty()).then(|| median(reads) * 1e3);
        let ratio = miss_ms / upload_ceiling_ms.max(read_ceiling_ms.unwrap_or(0.0));
        Self { tier, miss_ms, read_ceiling_ms, upload_ceiling_ms, ratio }
    }
}

fn rows(report: &Report, slots: u32, like: &Row) -> Vec<Row> {
    let Report { model, adapter, .. } = report;
    let row = |measure: String, value, unit: &str| Row {
        adapter: adapter.clone(),
        model: model.clone(),
        slots: Some(slots),
        measure,
        value,
        unit: unit.to_owned(),
        ..like.clone()
    };
    let of = |tier: &Times| {
        let what = format!("miss from {}", tier.tier.name());
        let times = [("", Some(tier.miss_ms)), (", plain read", tier.read_ceiling_ms), (", plain upload", Some(tier.upload_ceiling_ms))];
        let times = times.map(|(part, ms)| ms.map(|ms| row(format!("{what}{part}"), ms, "ms an expert")));
        times.into_iter().flatten().chain([row(format!("{what} by the slower of these"), tier.ratio, "times")]).collect::<Vec<_>>()
    };
    report.tiers.iter().flat_map(of).collect()
}

/// For people.
fn text(report: &Report) -> String {
    let Report { model, adapter, bytes_per_expert, experts_at_once, rounds, disk_is_cold, tiers } = report;
    let mut text = format!(
        "{model} on {adapter}\n{} an expert, {experts_at_once} at once; ms an expert, medians of {rounds}\n\n  {:8}{:>10}{:>14}{:>16}{:>8}\n",
        output::size(*bytes_per_expert),
        "tier",
        "miss",
        "plain read",
        "plain upload",
        "ratio",
    );
    for Times { tier, miss_ms, read_ceiling_ms, upload_ceiling_ms, ratio } in tiers {
        let name = tier.name();
        let read = read_ceiling_ms.map_or("-".to_owned(), |ms| format!("{ms:.2}"));
        text.push_str(&format!("  {name:8}{miss_ms:>10.2}{read:>14}{upload_ceiling_ms:>16.2}{ratio:>8.2}\n"));
    }
    if !disk_is_cold {
        text.push_str("  reads from a disk may have come from the system's page cache\n");
    }
    text
}
