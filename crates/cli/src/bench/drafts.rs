//! `quire bench drafts`: what guessing from the text so far is worth.

use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use engine::{Cancel, Drafting, Engine, Generated, Request, SamplingOptions, Urgency};
use measures::median;
use serde::Serialize;

use crate::args::{self, Limits};
use crate::{load, output};

/// Measure decode with and without drafts, where the answer copies the prompt
///
/// Rounds with and without take turns; both say the same, to the last token. Drafts are made wherever there are any, though they may not
/// pay; software adapters make none unasked.
#[derive(Debug, clap::Args)]
pub(super) struct DraftArgs {
    #[command(flatten)]
    model: args::Model,
    /// What the prompt says, twice and to its middle
    #[arg(long, default_value = PASSAGE)]
    text: String,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value = "48", value_parser = clap::value_parser!(u32).range(2..))]
    decode: u32,
    /// Measurements of each kind, of which the median is taken
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    limits: Limits,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const PASSAGE: &str = " The tide came in over the flats, slowly at first and then all at once, and the boats that had lain on \
    their sides since noon rose one after the other. Nobody on the quay looked up: it was Thursday, and the nets had to be mended by dark. \
    A girl with a yellow bucket counted the boats aloud, lost her place, and began again from the red one.";

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    adapter: String,
    decode_tokens: u32,
    /// Tokens a second.
    without_tps: f64,
    with_tps: f64,
    /// Tokens that were guessed in one answer, and of these, those that were said.
    drafted: u64,
    draft_hits: u64,
}

pub(super) async fn run(args: &DraftArgs) -> Result<()> {
    let files = load::open(&args.model).await?;
    let options = load::options(&args.model.location, &files, &args.limits)?;
    let mut loaded = load::load(&args.model.location, &files, &args.limits, options).await?;
    let mut prompt = loaded.tokenizer.encode(&args.text);
    ensure!(!prompt.is_empty(), "the text has no tokens");
    prompt = [&prompt[..], &prompt, &prompt[..prompt.len().div_ceil(2)]].concat();
    let engine = &mut loaded.engine;
    engine.fill(Urgency::Demand, &Cancel::default()).await?;
    let mut rates = [Vec::new(), Vec::new()];
    let mut guessed = (0, 0);
    // The first round makes what the others use again.
    for round in 0..=args.rounds {
        let mut said = Vec::new();
        for (when, rates) in [Drafting::Never, Drafting::Always].into_iter().zip(&mut rates) {
            let before = engine.paging();
            engine.set_drafting(when);
            let generated = decode(engine, &prompt, args.decode).await?;
            let after = engine.paging();
            guessed = (after.drafted - before.drafted, after.draft_hits - before.draft_hits);
            ensure!(generated.ids.len() == args.decode as usize, "the context is too short");
            if round > 0 {
                rates.extend(output::per_second(generated.ids.len() - 1, generated.decode_seconds));
            }
            said.push(generated.ids);
        }
        ensure!(said[0] == said[1], "drafts changed what was said");
    }
    let [without, with] = rates;
    let report = Report {
        model: loaded.name().to_owned(),
        adapter: loaded.engine.gpu().adapter(),
        decode_tokens: args.decode,
        without_tps: median(without),
        with_tps: median(with),
        drafted: guessed.0,
        draft_hits: guessed.1,
    };
    if args.json { output::json(&report) } else { output::bytes(text(&report).as_bytes()) }
}

async fn decode(engine: &mut Engine, prompt: &[u32], n: u32) -> Result<Generated> {
    let request = Request { prompt, max_tokens: n, sampling: SamplingOptions::greedy(), stops: &[] };
    Ok(engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(())).await?)
}

/// For people.
fn text(report: &Report) -> String {
    let Report { model, adapter, decode_tokens, without_tps, with_tps, drafted, draft_hits } = report;
    format!(
        "{model} on {adapter}\n  without drafts  {without_tps:.2} tok/s over {decode_tokens} tokens\n  with drafts     {with_tps:.2} tok/s, \
         {draft_hits} of {drafted} were right\n"
    )
}
