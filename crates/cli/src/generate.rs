//! `quire generate`: a text continued, with no chat format around it.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::{Cancel, Event, Finish, Generated, Request};
use serde::Serialize;
use text::constrained::Form;
use text::{Detokenizer, Tokenizer};

use crate::args::{self, Ids, Limits, Sampling};
use crate::{load, output};

/// Continue a text or token ids, raw: no chat format around them
///
/// The answer streams to stdout; with --json one object follows instead, with text, ids, finish_reason (stop or
/// length), prefill_tps, decode_tps, and stats: what was read and what experts cost.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
    #[command(flatten)]
    prompt: Prompt,
    /// Trust the prompt: control tokens spelled in it become control tokens
    #[arg(long, requires = "prompt")]
    special: bool,
    /// Tokens to generate at most
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Go on past the tokens that end an answer
    #[arg(long)]
    ignore_eos: bool,
    /// The text is to be JSON of the schema in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["grammar", "ignore_eos"])]
    schema: Option<PathBuf>,
    /// The text is to be of the grammar in this file, in llguidance's variant of Lark
    #[arg(long, value_name = "FILE", conflicts_with = "ignore_eos")]
    grammar: Option<PathBuf>,
    /// 0 takes the likeliest token, 1 the model's own distribution
    #[arg(long, value_name = "T", default_value = "0", value_parser = args::temperature)]
    temperature: f32,
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    limits: Limits,
    /// Print one JSON object at the end in place of the text as it comes
    #[arg(long)]
    json: bool,
}

/// What to continue.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Prompt {
    /// Text; a model that wants its texts to begin with a certain token gets that too
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Token ids, fed as they are: 1,2,3
    #[arg(long, value_name = "IDS", value_parser = args::some_ids)]
    tokens: Option<Ids>,
}

#[derive(Debug, Serialize)]
struct Report {
    text: String,
    /// All that were sampled, the one that ended the answer included.
    ids: Vec<u32>,
    finish_reason: &'static str,
    n_prompt: usize,
    /// Prompt tokens a second.
    prefill_tps: Option<f64>,
    /// Tokens a second after the first; absent (null) where there was only one.
    decode_tps: Option<f64>,
    stats: api::Stats,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let model = &args.model.location;
    let files = load::open(&args.model).await?;
    let options = load::options(model, &files, &args.limits)?;
    let form = args.form()?;
    let mut loaded = load::load(model, &files, &args.limits, options).await?;
    let prompt = args.prompt_ids(&loaded.tokenizer);
    let stops = if args.ignore_eos { Vec::new() } else { api::ends(&loaded.tokenizer) };
    let mut constraint = loaded.constraint(form.as_ref(), stops.clone()).await?;
    let sampling = args.sampling.options(args.temperature);
    let request = Request { prompt: &prompt, max_tokens: args.max_tokens, sampling, stops: &stops };

    let api::Model { engine, tokenizer, .. } = &mut loaded;
    let mut text = Text { tokenizer, stops: &stops, detokenizer: Detokenizer::new(), whole: String::new() };
    let mut shown = Ok(());
    let show = |piece: &str| if args.json { Ok(()) } else { output::bytes(piece.as_bytes()) };
    let mut on_event = |event: Event<'_>| {
        if let Event::Token(token) = event {
            shown = show(&text.push(token.id));
        }
        if shown.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let cancel = Cancel::default();
    let generated = match &mut constraint {
        Some(constraint) => engine.generate_within(&request, constraint, &cancel, &mut on_event).await?,
        None => engine.generate(&request, &cancel, &mut on_event).await?,
    };
    let rest = text.finish();
    let whole = text.whole;
    loaded.settle().await;
    shown?;
    load::note_problem(&files.library);
    show(&rest)?;
    if args.json {
        return output::json(&report(prompt.len(), whole, generated, loaded.stats()));
    }
    output::bytes(b"\n")
}

impl Args {
    fn form(&self) -> Result<Option<Form>> {
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        Ok(match (&self.schema, &self.grammar) {
            (Some(path), _) => {
                let schema = serde_json::from_str(&read(path)?).with_context(|| format!("{} is not JSON", path.display()))?;
                Some(Form::Json(schema))
            }
            (None, Some(path)) => Some(Form::Lark(read(path)?)),
            (None, None) => None,
        })
    }

    fn prompt_ids(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        if let Some(Ids(ids)) = &self.prompt.tokens {
            return ids.clone();
        }
        let text = self.prompt.prompt.as_deref().unwrap_or_default();
        let ids = if self.special { tokenizer.encode_special(text) } else { tokenizer.encode(text) };
        tokenizer.bos_to_add().into_iter().chain(ids).collect()
    }
}

/// The answer's text as its tokens come; a token that ends the answer has none.
struct Text<'a> {
    tokenizer: &'a Tokenizer,
    stops: &'a [u32],
    detokenizer: Detokenizer,
    whole: String,
}

impl Text<'_> {
    fn push(&mut self, id: u32) -> String {
        let bytes = if self.stops.contains(&id) { None } else { self.tokenizer.token_bytes(id) };
        self.add(|detokenizer| detokenizer.push(bytes.unwrap_or_default()))
    }

    fn finish(&mut self) -> String {
        self.add(Detokenizer::finish)
    }

    fn add(&mut self, piece: impl FnOnce(&mut Detokenizer) -> String) -> String {
        let piece = piece(&mut self.detokenizer);
        self.whole.push_str(&piece);
        piece
    }
}

fn report(n_prompt: usize, text: String, generated: Generated, stats: api::Stats) -> Report {
    Report {
        text,
        finish_reason: match generated.finish {
            Finish::Stop(_) => "stop",
            Finish::Length | Finish::Context => "length",
            Finish::Break | Finish::Cancelled => "cancelled",
        },
        n_prompt,
        prefill_tps: output::per_second(n_prompt - generated.n_reused, generated.prefill_seconds),
        decode_tps: output::per_second(generated.ids.len().saturating_sub(1), generated.decode_seconds),
        ids: generated.ids,
        stats,
    }
}
