//! `quire bench gpu`: all that there is to measure of a GPU, with a model that needs no file and no network.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::{Files, Twins};
use engine::{Cancel, Engine, Event, Gpu, Request, SamplingOptions, Urgency};
use kernels::ops::Pass;
use measures::{Row, Sheet, median};
use model::{Config, Model, Options};

use super::Out;
use super::kernels::rows;
use crate::output;
use crate::synth::SynthSource;

/// Measure a GPU with random weights at the widths of gpt-oss-20b, which need no file and no network
///
/// Holds logits of two layers against CPU twins; then decode and prefill far into a context, each kernel against its
/// bound, and decode with fewer slots for experts. Results are CSV, to stdout unless --out says where, a row as soon as it is
/// known; the random weights' routers have favourites, as those of real models do.
#[derive(Debug, clap::Args)]
pub(super) struct GpuArgs {
    /// Layers; the real model has 24
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u32).range(2..=1024))]
    layers: u32,
    /// Positions to decode and prefill at
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "0,4096,32768,128000")]
    contexts: Vec<u32>,
    /// Prompt tokens to prefill
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "512,2048")]
    prompts: Vec<u32>,
    /// Tokens to decode
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(2..=4096))]
    decode: u32,
    /// Per cent of the experts that have slots
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "50,25")]
    slots: Vec<u32>,
    /// Measurements of each kind, of which the median is taken
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Begin nothing after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "420")]
    limit: u64,
    #[command(flatten)]
    out: Out,
}

/// Milliseconds for each kernel alone.
const KERNEL_TIME: Duration = Duration::from_millis(60);
/// Layers that are held against the twins: one that slides and one that does not.
const TWIN_LAYERS: u32 = 2;
/// Tokens that are held against the twins.
const TWIN_TOKENS: [u32; 3] = [976, 9029, 328];
/// Relative RMS of logits between GPU and twins: they add in another order.
const TWIN_BOUND: f64 = 2e-3;

pub(super) async fn run(args: &GpuArgs) -> Result<()> {
    let gpu = Gpu::open().await?;
    let end = Instant::now() + Duration::from_secs(args.limit);
    let like = Row { adapter: gpu.adapter(), model: format!("synth gpt-oss-20b {} layers", args.layers), ..args.out.row() };
    let sheet = args.out.out.as_deref().map_or_else(|| Ok(Sheet::stdout()), Sheet::open)?;
    let mut bench = Bench { args, end, like, sheet };

    let files = files(args.layers).await?;
    let most = |of: &[u32]| of.iter().max().copied().unwrap_or_default();
    let trained = Config::new(&files.directory)?.n_context;
    let context = most(&args.contexts) + most(&args.prompts).max(2) + args.decode;
    ensure!(context <= trained, "contexts, prompts and decode need {context} positions; the model has {trained}");
    let options = Options { context, max_binding: gpu.max_binding().min(Options::default().max_binding), ..Options::default() };
    bench.twins(&gpu).await?;
    let began = Instant::now();
    let mut engine = load(&gpu, &files, options.clone()).await?;
    let slots = Some(engine.model().n_slots);
    bench.note("load", bench.row(slots, None, None), began.elapsed().as_secs_f64(), "s")?;
    bench.note("GPU memory", bench.row(slots, None, None), engine.gpu_bytes() as f64, "B")?;

    let ceiling = bench.kernels(&mut engine).await?;
    for &context in &args.contexts {
        let decode = bench.decode(&mut engine, context).await?;
        if let (Some(tps), Some(ceiling)) = (decode, ceiling) {
            let measure = "decode, share of what a copy's bandwidth gives";
            let row = bench.row(Some(engine.model().n_slots), Some(context), Some(args.decode));
            bench.note(measure, row, tps / ceiling, "")?;
        }
        for &tokens in &args.prompts {
            bench.prefill(&mut engine, context, tokens).await?;
        }
    }
    let n_experts = engine.model().config.experts.n;
    for &share in &args.slots {
        let slots = (n_experts * share / 100).max(engine.model().least_slots());
        if bench.is_over("fewer slots") {
            break;
        }
        // The one before gives its memory back first.
        drop(engine);
        engine = load(&gpu, &files, Options { slots: Some(slots), context: 4096, ..options.clone() }).await?;
        bench.paging(&mut engine).await?;
    }
    Ok(())
}

async fn files(layers: u32) -> Result<Files> {
    Ok(Files::from_sources(vec![Rc::new(SynthSource::new(layers, 0)?)]).await?)
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
            log::warn!("{what} not measured: {} s are over", self.args.limit);
        }
        is_over
    }

    /// Holds a shallow model's logits to those of the twins.
    async fn twins(&mut self, gpu: &Gpu) -> Result<()> {
        let files = files(TWIN_LAYERS).await?;
        let options =
            Options { context: 16, chunk: 16, max_binding: gpu.max_binding().min(Options::default().max_binding), ..Options::default() };
        let mut engine = load(gpu, &files, options.clone()).await?;
        let got = engine.logits(&TWIN_TOKENS, true).await?;
        drop(engine);
        let expected = Twins::new(&files, options).await?.logits(&TWIN_TOKENS)?;
        let square = |x: f32| f64::from(x) * f64::from(x);
        let error: f64 = got.iter().zip(&expected).map(|(g, e)| square(g - e)).sum();
        let error = (error / expected.iter().map(|e| square(*e)).sum::<f64>()).sqrt();
        let measure = "logits of 2 layers beside the CPU twins, relative RMS";
        self.note(measure, self.row(None, Some(0), Some(TWIN_TOKENS.len() as u32)), error, "")?;
        ensure!(
            error < TWIN_BOUND,
            "the GPU's logits differ from the CPU twins' by {error:.1e} of their size; at most {TWIN_BOUND:.0e} is rounding"
        );
        Ok(())
    }

    /// Each kernel alone, of decode and of a chunk of prefill. Gives the tokens a second at which decode would read its weights
    /// as fast as a copy moves bytes; `None` if the time is over.
    async fn kernels(&mut self, engine: &mut Engine) -> Result<Option<f64>> {
        let slots = Some(engine.model().n_slots);
        let mut ceiling = None;
        let chunk = self.args.prompts.iter().copied().max().unwrap_or_default().min(engine.model().options.chunk);
        for tokens in [1, chunk.max(2)] {
            if self.is_over("kernels") {
                break;
            }
            let timings = engine.time_kernels(Pass::of(tokens), KERNEL_TIME).await?;
            let row = self.row(slots, Some(0), Some(tokens));
            rows(&timings, &row).iter().try_for_each(|row| self.sheet.add(row))?;
            if tokens == 1 {
                let bytes: u64 = timings.kernels.iter().map(|k| k.work.weight_bytes * k.dispatches as u64).sum();
                self.note("weights read", row.clone(), bytes as f64, "B a token")?;
                self.note("dispatches", row, timings.kernels.iter().map(|k| k.dispatches).sum::<usize>() as f64, "a token")?;
                ceiling = Some(timings.ceiling.bytes / bytes as f64);
            }
        }
        Ok(ceiling)
    }

    /// Tokens a second after `context` positions; `None` if the time is over.
    async fn decode(&mut self, engine: &mut Engine, context: u32) -> Result<Option<f64>> {
        if self.is_over("decode") {
            return Ok(None);
        }
        let mut rates = Vec::new();
        // The first is a warm-up.
        for round in 0..=self.args.rounds {
            let (_, decode) = generate(engine, context, 2, self.args.decode, round).await?;
            if round > 0 {
                rates.push(f64::from(self.args.decode - 1) / decode);
            }
        }
        let tps = median(rates);
        self.note("decode", self.row(Some(engine.model().n_slots), Some(context), Some(self.args.decode)), tps, "tok/s")?;
        Ok(Some(tps))
    }

    async fn prefill(&mut self, engine: &mut Engine, context: u32, tokens: u32) -> Result<()> {
        if self.is_over("prefill") {
            return Ok(());
        }
        let mut times = Vec::new();
        for round in 0..=self.args.rounds {
            let (prefill, _) = generate(engine, context, tokens, 1, round).await?;
            if round > 0 {
                times.push(prefill);
            }
        }
        let seconds = median(times);
        let row = self.row(Some(engine.model().n_slots), Some(context), Some(tokens));
        self.note("prefill", row.clone(), f64::from(tokens) / seconds, "tok/s")?;
        self.note("first token", row, seconds * 1e3, "ms")
    }

    /// Decode while experts come and go.
    async fn paging(&mut self, engine: &mut Engine) -> Result<()> {
        generate(engine, 0, 8, 8, 0).await?;
        // From the first token on: what the prompt missed is not decode's.
        let experts = engine.experts().clone();
        let mut before = None;
        let mut on_event = |event: Event<'_>| {
            if let Event::Token(_) = event {
                before.get_or_insert_with(|| experts.paging());
            }
            ControlFlow::Continue(())
        };
        let prompt: Vec<u32> = (0..8).map(|i| i * 31 + 8).collect();
        let request = Request { prompt: &prompt, max_tokens: self.args.decode, sampling: SamplingOptions::greedy(), stops: &[] };
        let decode = engine.generate(&request, &Cancel::default(), &mut on_event).await?.decode_seconds;
        let (before, after) = (before.context("nothing was decoded")?, engine.paging());
        let n = f64::from(self.args.decode - 1);
        let row = self.row(Some(engine.model().n_slots), Some(0), Some(self.args.decode));
        self.note("decode", row.clone(), n / decode, "tok/s")?;
        self.note("misses", row.clone(), (after.misses - before.misses) as f64 / n, "a token")?;
        self.note("passes", row, (after.passes - before.passes) as f64 / n, "a token")
    }
}

/// Seconds to the first of `n` tokens and from there to the last, after `context` positions that are only pretended and a prompt of
/// `n_prompt` tokens, which differ from round to round.
async fn generate(engine: &mut Engine, context: u32, n_prompt: u32, n: u32, round: u32) -> Result<(f64, f64)> {
    let n_vocab = engine.model().config.n_vocab;
    let prompt: Vec<u32> = (0..context + n_prompt).map(|i| if i < context { i } else { i * 31 + round * 7 + 1 } % n_vocab).collect();
    if context > 0 {
        engine.pretend(&prompt[..context as usize])?;
    }
    let request = Request { prompt: &prompt, max_tokens: n, sampling: SamplingOptions::greedy(), stops: &[] };
    let generated = engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(())).await?;
    ensure!(generated.n_reused == context as usize, "{} of {context} positions were kept", generated.n_reused);
    Ok((generated.prefill_seconds, generated.decode_seconds))
}
