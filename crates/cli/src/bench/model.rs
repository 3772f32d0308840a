//! `quire bench MODEL`: how fast prefill and decode are, and what a decoded token costs.

use std::ops::ControlFlow;

use anyhow::{Result, bail, ensure};
use engine::{Cancel, Counters, Engine, Generated, Request, SamplingOptions, Urgency};
use measures::{Report, Size, median};

use super::Out;
use crate::args::{Cache, Limits};
use crate::{load, output};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    cache: Cache,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    out: Out,
}

/// Tokens of the warm-up's answer, which makes the bind groups of a decode step and shows its pace.
const WARM_UP: u32 = 4;
/// Tokens by which two answers differ that say what one token costs.
const COUNTED: u32 = 8;

// `tests/browser/bench.mjs` does the same in a page.
pub(super) async fn run(model: &str, args: &Options) -> Result<()> {
    let Size { prefill: n_prompt, decode: n, runs } = args.size;
    let files = load::open_in(args.cache.home(), model).await?;
    let options = load::options(model, &files, &args.limits)?;
    let (needed, context) = (u64::from(n_prompt) + u64::from(n), options.context);
    if needed > u64::from(context) {
        bail!("{n_prompt} + {n} tokens need a context of {needed}, it is {context}");
    }
    let mut loaded = load::load(model, &files, &args.limits, options).await?;
    let engine = &mut loaded.engine;
    engine.fill(Urgency::Demand, &Cancel::default()).await?;
    generate(engine, 0, n_prompt, WARM_UP.min(n)).await?;
    // What a short prompt and a miss need is made once, too.
    cost(engine, 199, 1 + COUNTED).await?;
    let [one, more] = [cost(engine, 200, 1).await?, cost(engine, 201, 1 + COUNTED).await?];
    let a_token = |count: fn(&Counters) -> u64| (count(&more) as f64 - count(&one) as f64) / f64::from(COUNTED);

    let before = engine.paging();
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for nth in 1..=runs {
        let Generated { prefill_seconds, decode_seconds, .. } = generate(engine, nth, n_prompt, n).await?;
        prefill.push(prefill_seconds);
        decode.push(decode_seconds);
    }
    let after = engine.paging();
    let (prefill, decode) = (median(prefill), median(decode));
    let report = Report {
        date: measures::today(),
        platform: "native".to_owned(),
        adapter: loaded.engine.gpu().adapter(),
        model: loaded.name().to_owned(),
        runs,
        prefill_tokens: n_prompt,
        decode_tokens: n,
        prefill_tps: f64::from(n_prompt) / prefill,
        decode_tps: f64::from(n - 1) / decode,
        first_token_ms: prefill * 1e3,
        passes: (after.passes - before.passes) as f64 / (after.tokens - before.tokens) as f64,
        dispatches: a_token(|c| c.dispatches),
        bind_groups: a_token(|c| c.bind_groups),
        bytes_written: a_token(|c| c.bytes_written),
        bytes_read: a_token(|c| c.bytes_read),
        readbacks: a_token(|c| c.readbacks),
        misses: (after.misses - before.misses) as f64 / f64::from(runs),
        slots: loaded.engine.model().n_slots,
        gpu_bytes: loaded.engine.gpu_bytes(),
    };
    args.out.add(&report.rows(&args.out.conditions))?;
    if args.json { output::json(&report) } else { output::bytes(report.to_string().as_bytes()) }
}

/// Generates exactly `n` tokens after the `nth` of prompts that differ from their first token on: nothing is kept from one to the next.
async fn generate(engine: &mut Engine, nth: u32, n_prompt: u32, n: u32) -> Result<Generated> {
    // Any vocabulary has these.
    let prompt: Vec<u32> = (0..n_prompt).map(|i| (nth + i * 31) % 251).collect();
    let request = Request { prompt: &prompt, max_tokens: n, sampling: SamplingOptions::greedy(), stops: &[] };
    let generated = engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(())).await?;
    ensure!(generated.n_reused == 0 && generated.ids.len() == n as usize, "{} of {n} tokens were generated", generated.ids.len());
    Ok(generated)
}

/// What the GPU was given for `n` tokens after a prompt of one.
async fn cost(engine: &mut Engine, nth: u32, n: u32) -> Result<Counters> {
    let before = engine.gpu().counters();
    generate(engine, nth, 1, n).await?;
    Ok(engine.gpu().counters() - before)
}
