//! `quire bench misses`: what it takes to bring a missing expert onto the GPU, by where its bytes are, and what this
//! machine could do at best.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use api::Files;
use engine::{Cancel, Engine, Feed, FeedError, Gpu, Reading, Run, Sink, Urgency};
use measures::median;
use model::{Model, Options};
use serde::Serialize;

use super::plain::{Disk, Http};
use super::serve::serve;
use crate::args::Limits;
use crate::locate::locate;
use crate::{load, output};

/// Measure how long a missing expert takes, by tier: host memory, disk, HTTP
///
/// Brings the experts of one token and layer at a time onto the GPU, as a miss in decode does, and holds that against
/// ceilings measured in between: one plain write and copy to the GPU, plain reads of the same runs one after the
/// other. All slots were filled before, as they are after a model's first answers. Before each read from the disk the
/// system is asked to drop the file from its page cache, where it can be asked. A file is served over HTTP by this
/// process itself.
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Tier {
    Memory,
    Disk,
    Http,
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
    /// One plain write and copy of the same bytes.
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

    let is_file = Path::new(&location).is_file();
    let far = if is_file { Some(Files::open(&serve(Path::new(&location))?).await?) } else { None };
    let over_http = far.as_ref().unwrap_or(&files);
    let tiers = Rc::new(Tiers { tier: Cell::new(Tier::Memory), memory: RefCell::default(), disk: files.feed(), http: over_http.feed() });
    let mut engine = Engine::new(gpu, model, tiers.clone(), Vec::new()).await?;
    // Memory that was never written to costs the system more than what is written.
    tiers.tier.set(Tier::Disk);
    engine.fill(Urgency::Background, &Cancel::default()).await?;
    let disk = if is_file { Some(Disk::open(&files)?) } else { None };
    let mut bench = Bench { engine, tiers, disk, http: Http::new(over_http), nth: 0 };

    let kinds = if is_file { &[Tier::Memory, Tier::Disk, Tier::Http][..] } else { &[Tier::Memory, Tier::Http] };
    let mut samples = vec![Vec::new(); kinds.len()];
    let bar = output::progress("measuring".to_owned(), u64::from(args.rounds));
    // The first round warms up: pipelines, staging buffers, connections.
    for round in 0..=args.rounds {
        for (kind, samples) in kinds.iter().zip(&mut samples) {
            let sample = bench.measure(*kind).await?;
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
        disk_is_cold: bench.disk.as_ref().is_some_and(Disk::can_forget),
        tiers: kinds.iter().zip(&samples).map(|(tier, samples)| Times::of(*tier, samples)).collect(),
    };
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
    tiers: Rc<Tiers>,
    disk: Option<Disk>,
    http: Http,
    /// Measurements so far, each in another layer than the one before.
    nth: usize,
}

impl Bench {
    /// As many as a token uses of a layer.
    fn n_at_once(&self) -> u32 {
        self.engine.model().config.experts.n_used
    }

    /// Brings experts that are missing in the next layer, once plainly and once as a miss.
    async fn measure(&mut self, tier: Tier) -> Result<Sample> {
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
        let uploads = experts.iter().flat_map(|&expert| model.expert_uploads(layer, expert, 0));
        let runs: Vec<Run> = uploads.map(|u| Run { shard: u.shard, range: u.start..u.start + u.bytes }).collect();

        let held = self.tiers.hold(&runs).await?;
        let upload = self.engine.gpu().time_upload(&held).await?.as_secs_f64() / n;
        let read = match (tier, &mut self.disk) {
            (Tier::Disk, Some(disk)) => Some(disk.read(&runs)?),
            (Tier::Http, _) => Some(self.http.read(&runs)?),
            _ => None,
        };
        if let (Tier::Disk, Some(disk)) = (tier, &self.disk) {
            disk.forget(&runs)?;
        }
        self.tiers.tier.set(tier);
        let began = Instant::now();
        let experts: Vec<(u32, u32)> = experts.into_iter().map(|expert| (layer as u32, expert)).collect();
        self.engine.fetch(&experts, Urgency::Demand, &Cancel::default()).await?;
        let took = began.elapsed().as_secs_f64();
        Ok(Sample { miss: took / n, read: read.map(|t| t.as_secs_f64() / n), upload })
    }
}

/// Experts' bytes from the tier that is being measured.
#[derive(Debug)]
struct Tiers {
    tier: Cell<Tier>,
    /// Runs that are in host memory.
    memory: RefCell<Vec<(Run, Vec<u8>)>>,
    disk: Rc<dyn Feed>,
    http: Rc<dyn Feed>,
}

impl Tiers {
    /// Takes `runs` into host memory in place of what was there, and gives their bytes end to end.
    async fn hold(&self, runs: &[Run]) -> Result<Vec<u8>> {
        let mut held: Vec<(Run, Vec<u8>)> = runs.iter().map(|run| (run.clone(), Vec::new())).collect();
        let mut sink = |i: usize, piece: &[u8]| {
            held[i].1.extend_from_slice(piece);
            std::ops::ControlFlow::Continue(())
        };
        self.disk.read(runs, Urgency::Demand, &mut sink).await?;
        let all = held.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        *self.memory.borrow_mut() = held;
        Ok(all)
    }
}

impl Feed for Tiers {
    fn read<'a>(&'a self, runs: &'a [Run], urgency: Urgency, sink: &'a mut Sink<'_>) -> Reading<'a> {
        match self.tier.get() {
            Tier::Disk => self.disk.read(runs, urgency, sink),
            Tier::Http => self.http.read(runs, urgency, sink),
            Tier::Memory => Box::pin(async move {
                let held = self.memory.borrow();
                for (i, run) in runs.iter().enumerate() {
                    let found = held.iter().find(|(of, _)| of == run);
                    let (_, bytes) = found.ok_or_else(|| -> FeedError { std::sync::Arc::new(std::io::Error::other("not held")) })?;
                    if sink(i, bytes).is_break() {
                        break;
                    }
                }
                Ok(())
            }),
        }
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
        let name = match tier {
            Tier::Memory => "memory",
            Tier::Disk => "disk",
            Tier::Http => "HTTP",
        };
        let read = read_ceiling_ms.map_or("-".to_owned(), |ms| format!("{ms:.2}"));
        text.push_str(&format!("  {name:8}{miss_ms:>10.2}{read:>14}{upload_ceiling_ms:>16.2}{ratio:>8.2}\n"));
    }
    if tiers.iter().any(|t| t.tier == Tier::Disk) && !disk_is_cold {
        text.push_str("  reads from the disk may have come from the system's page cache\n");
    }
    text
}
