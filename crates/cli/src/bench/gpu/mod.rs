//! `quire bench gpu`: all that there is to measure of a GPU, with a model that needs no file and no network.

mod twins;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::Files;
use engine::{Cancel, Engine, Event, Finish, Gpu, Request, SamplingOptions, Urgency};
use kernels::ops::Pass;
use measures::{Row, Sheet, median};
use model::{Config, Model, Options};

use super::Out;
use super::kernels::rows;
use crate::output;
use crate::synth::{N_VOCAB, SynthSource};

/// Measure a GPU with random weights at the widths of gpt-oss-20b, which need no file and no network
///
/// Holds what two layers compute against CPU twins; then each kernel against its bound, decode and prefill, decode with fewer slots for
/// experts, and prefill far into a context. Results are CSV, to stdout unless --out says where, a row as soon as it is
/// known; the random weights' routers have favourites, as those of real models do. What the twins do not agree with is an error
/// when all else is measured.
#[derive(Debug, clap::Args)]
pub(super) struct GpuArgs {
    /// Layers; the real model has 24
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u32).range(2..=1024))]
    layers: u32,
    /// Rows of embedding and head
    #[arg(long, value_name = "N", default_value_t = N_VOCAB, value_parser = clap::value_parser!(u64).range(1024..=N_VOCAB))]
    vocabulary: u64,
    /// Positions to decode and prefill at, or as many as the model has left
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "0,1024,4096,32768,131072")]
    contexts: Vec<u32>,
    /// Prompt tokens to prefill
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "512,2048", value_parser = clap::value_parser!(u32).range(2..=8192))]
    prompts: Vec<u32>,
    /// Tokens to decode
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(2..=4096))]
    decode: u32,
    /// Per cent of the experts that have slots
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "50,25", value_parser = clap::value_parser!(u32).range(1..=100))]
    slots: Vec<u32>,
    /// Measurements of each kind, of which the median is taken
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Begin nothing after so many seconds, and break off answers that are under way
    #[arg(long, value_name = "SECONDS", default_value = "420")]
    limit: u64,
    #[command(flatten)]
    out: Out,
}

/// For each kernel alone.
const KERNEL_TIME: Duration = Duration::from_millis(60);
/// Tokens of a chunk whose kernels are looked at on a software adapter, which would take minutes for a whole one.
const SOFTWARE_CHUNK: u32 = 40;

pub(super) async fn run(args: &GpuArgs) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(args.limit);
    let gpu = Gpu::open().await?;
    let files = files(args, args.layers).await?;
    let trained = Config::new(&files.directory)?.n_context;
    let own = args.prompts.iter().max().copied().unwrap_or(2) + args.decode;
    let furthest = trained.checked_sub(own).with_context(|| format!("prompts and decode need {own} positions; the model has {trained}"))?;
    let contexts: Vec<u32> = args.contexts.iter().map(|context| furthest.min(*context)).collect();
    let context = contexts.iter().max().copied().unwrap_or(0) + own;
    let options = Options { context, ..options(&gpu) };

    let like = Row { adapter: adapter(&gpu), model: format!("synth gpt-oss-20b {} layers", args.layers), ..args.out.row() };
    let sheet = args.out.out.as_deref().map_or_else(|| Ok(Sheet::stdout()), Sheet::open)?;
    let mut bench = Bench { args, end, like, sheet };
    let wrong = bench.twins(&gpu).await?;
    let began = Instant::now();
    let mut engine = load(&gpu, &files, options.clone()).await?;
    let row = bench.row(Some(engine.model().n_slots), None, None);
    bench.note("load", row.clone(), began.elapsed().as_secs_f64(), "s")?;
    bench.note("GPU memory", row, engine.gpu_bytes() as f64, "B")?;

    let best = bench.kernels(&mut engine).await?;
    for context in &contexts {
        bench.decode(&mut engine, *context, best.decode).await?;
    }
    let (far, near): (Vec<u32>, Vec<u32>) = contexts.iter().partition(|context| **context > 0);
    bench.prefills(&mut engine, &near, best.prefill).await?;
    let n_experts = engine.model().config.experts.n;
    for share in &args.slots {
        let slots = (n_experts * share / 100).max(engine.model().least_slots());
        if bench.is_over("decode with fewer slots") {
            break;
        }
        // The one before gives its memory back first.
        drop(engine);
        engine = load(&gpu, &files, Options { slots: Some(slots), context: 4096, ..options.clone() }).await?;
        bench.paging(&mut engine).await?;
    }
    if !far.is_empty() && !bench.is_over("prefill far into a context") {
        drop(engine);
        engine = load(&gpu, &files, options).await?;
        bench.prefills(&mut engine, &far, best.prefill).await?;
    }
    ensure!(wrong.is_empty(), "the GPU does not compute what the CPU twins do: {}", wrong.join("; "));
    Ok(())
}

/// As its driver names it, and whether it is none: nobody should take its times for a GPU's.
fn adapter(gpu: &Gpu) -> String {
    if !gpu.is_software() {
        return gpu.adapter();
    }
    say(&format!("{} is software: its times say how parts compare, not how fast a GPU is", gpu.adapter()));
    format!("{} (software)", gpu.adapter())
}

/// On stderr, where no row is.
fn say(what: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "quire: {what}");
}

fn options(gpu: &Gpu) -> Options {
    let default = Options::default();
    Options { max_binding: default.max_binding.min(gpu.max_binding()), ..default }
}

async fn files(args: &GpuArgs, layers: u32) -> Result<Files> {
    Ok(Files::from_sources(vec![Rc::new(SynthSource::new(layers, args.vocabulary, 0)?)]).await?)
}

/// With as many experts as there are slots.
async fn load(gpu: &Gpu, files: &Files, options: Options) -> Result<Engine> {
    let model = Model::new(&files.directory, options)?;
    let bar = output::progress("loading".to_owned(), model.uploads.iter().map(|u| u.bytes).sum());
    let mut engine = Engine::new(gpu.clone(), model, files.feed(), Vec::new()).await?;
    engine.load(&Cancel::default(), &mut |bytes| bar.inc(bytes)).await?;
    bar.finish_and_clear();
    engine.fill(Urgency::Demand, &Cancel::default()).await?;
    Ok(engine)
}

struct Bench<'a> {
    args: &'a GpuArgs,
    end: Instant,
    /// What all rows have alike.
    like: Row,
    sheet: Sheet,
}

/// Tokens a second at which a step would read its weights as fast as a copy moves bytes, or a chunk compute with them as fast as a large
/// product does; `None` where there was no time to look.
#[derive(Default)]
struct Best {
    decode: Option<f64>,
    prefill: Option<f64>,
}

impl Bench<'_> {
    fn row(&self, slots: Option<u32>, context: Option<u32>, tokens: Option<u32>) -> Row {
        Row { slots, context, tokens, ..self.like.clone() }
    }

    fn note(&mut self, measure: &str, like: Row, value: f64, unit: &str) -> Result<()> {
        Ok(self.sheet.add(&Row { measure: measure.to_owned(), value, unit: unit.to_owned(), ..like })?)
    }

    fn is_over(&self, what: &str) -> bool {
        let is_over = Instant::now() > self.end;
        if is_over {
            say(&format!("{what} not measured: {} s are over", self.args.limit));
        }
        is_over
    }

    /// Each kernel alone, of decode and of a chunk of prefill.
    async fn kernels(&mut self, engine: &mut Engine) -> Result<Best> {
        let slots = Some(engine.model().n_slots);
        let mut best = Best::default();
        let most = if engine.gpu().is_software() { SOFTWARE_CHUNK } else { engine.model().options.chunk };
        let chunk = self.args.prompts.iter().copied().max().unwrap_or(2).min(most);
        for tokens in [1, chunk] {
            if self.is_over("kernels") {
                break;
            }
            let timings = engine.time_kernels(Pass::of(tokens), KERNEL_TIME).await?;
            let row = self.row(slots, Some(0), Some(tokens));
            rows(&timings, &row).iter().try_for_each(|row| self.sheet.add(row))?;
            let (mut bytes, mut operations) = (0, 0);
            for kernel in &timings.kernels {
                bytes += kernel.work.weight_bytes * kernel.dispatches as u64;
                operations += kernel.work.operations * kernel.dispatches as u64;
            }
            if tokens == 1 {
                self.note("weights read", row.clone(), bytes as f64, "B a token")?;
                self.note("dispatches", row, timings.kernels.iter().map(|k| k.dispatches).sum::<usize>() as f64, "a token")?;
                best.decode = Some(timings.ceiling.bytes / bytes as f64);
            } else {
                let each = operations as f64 / f64::from(tokens);
                self.note("operations with weights", row, each, "a token")?;
                best.prefill = Some(timings.ceiling.operations / each);
            }
        }
        Ok(best)
    }

    /// Tokens a second after `context` positions, and their share of the best.
    async fn decode(&mut self, engine: &mut Engine, context: u32, best: Option<f64>) -> Result<()> {
        let n = self.args.decode;
        let Some((seconds, like)) = self.rounds(engine, context, [2, n], "decode", |took| took.decode).await? else { return Ok(()) };
        let tps = f64::from(n - 1) / seconds;
        self.note("decode", like.clone(), tps, "tok/s")?;
        best.map_or(Ok(()), |best| self.note("decode, share of what a copy's bandwidth gives", like, tps / best, ""))
    }

    async fn prefills(&mut self, engine: &mut Engine, contexts: &[u32], best: Option<f64>) -> Result<()> {
        for context in contexts {
            for tokens in &self.args.prompts {
                let rounds = self.rounds(engine, *context, [*tokens, 1], "prefill", |took| took.prefill).await?;
                let Some((seconds, like)) = rounds else { continue };
                let tps = f64::from(*tokens) / seconds;
                self.note("prefill", like.clone(), tps, "tok/s")?;
                self.note("first token", like.clone(), seconds * 1e3, "ms")?;
                best.map_or(Ok(()), |best| self.note("prefill, share of what a product's rate gives", like, tps / best, ""))?;
            }
        }
        Ok(())
    }

    /// The median of some seconds of an answer of `n` tokens to a prompt of so many after `context` positions, and a row for it; `None`
    /// if there was no time.
    async fn rounds(
        &self,
        engine: &mut Engine,
        context: u32,
        [n_prompt, n]: [u32; 2],
        what: &str,
        seconds: fn(&Took) -> f64,
    ) -> Result<Option<(f64, Row)>> {
        let what = format!("{what} of {} tokens after {context}", n_prompt.max(n));
        let mut times = Vec::new();
        // The first is a warm-up.
        for round in 0..=self.args.rounds {
            let took = if self.is_over(&what) { None } else { self.generate(engine, context, n_prompt, n, round).await? };
            let Some(took) = took else { break };
            if round > 0 {
                times.push(seconds(&took));
            }
        }
        if times.is_empty() {
            return Ok(None);
        }
        let mut row = self.row(Some(engine.model().n_slots), Some(context), Some(n_prompt.max(n)));
        let words = [format!("median of {}", times.len()), row.conditions];
        row.conditions = words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(", ");
        Ok(Some((median(times), row)))
    }

    /// Decode while experts come and go.
    async fn paging(&mut self, engine: &mut Engine) -> Result<()> {
        if self.generate(engine, 0, 8, self.args.decode.min(8), 0).await?.is_none() {
            return Ok(());
        }
        // From the first token on: what the prompt missed is not decode's.
        let experts = engine.experts().clone();
        let (mut before, mut n) = (None, 0);
        let mut on_event = |event: Event<'_>| {
            if let Event::Token(_) = event {
                before.get_or_insert_with(|| experts.paging());
                n += 1;
            }
            // What was decoded until then counts.
            if n > 1 && Instant::now() > self.end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let prompt: Vec<u32> = (0..8).map(|i| i * 31 + 8).collect();
        let request = Request { prompt: &prompt, max_tokens: self.args.decode, sampling: SamplingOptions::greedy(), stops: &[] };
        let decode = engine.generate(&request, &Cancel::default(), &mut on_event).await?.decode_seconds;
        let (before, after) = (before.context("nothing was decoded")?, engine.paging());
        let row = self.row(Some(engine.model().n_slots), Some(0), Some(n));
        let n = f64::from(n - 1);
        self.note("decode", row.clone(), n / decode, "tok/s")?;
        self.note("misses", row.clone(), (after.misses - before.misses) as f64 / n, "a token")?;
        self.note("passes", row, (after.passes - before.passes) as f64 / n, "a token")
    }

    /// Answers with `n` tokens after `context` positions that are only pretended and a prompt of `n_prompt` tokens, which differ from
    /// round to round; `None` if the time is over before the end.
    async fn generate(&self, engine: &mut Engine, context: u32, n_prompt: u32, n: u32, round: u32) -> Result<Option<Took>> {
        let n_vocab = engine.model().config.n_vocab;
        let prompt: Vec<u32> = (0..context + n_prompt).map(|i| if i < context { i } else { i * 31 + round * 7 + 1 } % n_vocab).collect();
        if context > 0 {
            engine.pretend(&prompt[..context as usize])?;
        }
        let request = Request { prompt: &prompt, max_tokens: n, sampling: SamplingOptions::greedy(), stops: &[] };
        let mut on_event = |_: Event<'_>| if Instant::now() > self.end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let generated = engine.generate(&request, &Cancel::default(), &mut on_event).await?;
        if matches!(generated.finish, Finish::Break | Finish::Cancelled) {
            say(&format!("broken off after {context} positions: {} s are over", self.args.limit));
            return Ok(None);
        }
        ensure!(generated.n_reused == context as usize, "{} of {context} positions were kept", generated.n_reused);
        Ok(Some(Took { prefill: generated.prefill_seconds, decode: generated.decode_seconds }))
    }
}

/// Seconds to the first token of an answer, and from there to the last.
struct Took {
    prefill: f64,
    decode: f64,
}
