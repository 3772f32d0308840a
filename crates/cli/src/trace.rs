//! `quire trace`: which experts each layer chooses while a model answers, as CSV.

use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use engine::policy::Heat;
use engine::{Cancel, Request, Routed as Seen};
use gguf::Directory;
use model::Model;
use text::Tokenizer;

use crate::args::{self, Ids, Limits, Sampling};
use crate::routes::{About, LayerBytes, Phase, Place, Routed, Writer};
use crate::{load, output};

/// Record which experts each layer chooses for each token, prompt included
///
/// The CSV is what `quire bench cache` replays: a row for each expert chosen, with its weight, whether it was on the GPU
/// (residency) and the bytes that were read for it. Several prompts are turns of one text: each follows the
/// answer to the one before.
#[derive(Debug, clap::Args)]
#[group(id = "turns", args = ["prompt", "tokens"], required = true, multiple = false)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
    /// Text; again for the next turn
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// Token ids, fed as they are: 1,2,3; again for the next turn
    #[arg(long, value_name = "IDS", value_parser = args::some_ids)]
    tokens: Vec<Ids>,
    /// Where the CSV goes
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Also write how much each expert was used here, as a heat map: as MODEL.gguf.heat beside a model it says at the first visit which
    /// experts are worth fetching first
    #[arg(long, value_name = "FILE")]
    heat: Option<PathBuf>,
    /// Tokens to generate at most, a turn
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Go on past the tokens that end an answer
    #[arg(long)]
    ignore_eos: bool,
    /// 0 takes the likeliest token, 1 the model's own distribution
    #[arg(long, value_name = "T", default_value = "0", value_parser = args::temperature)]
    temperature: f32,
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    limits: Limits,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let location = &args.model.location;
    let files = load::open(&args.model).await?;
    let options = load::options(location, &files, &args.limits)?;
    let model = Model::new(&files.directory, options.clone()).with_context(|| location.clone())?;
    ensure!(model.is_sparse(), "{location} has no experts: every token uses all of it");
    let layers = layer_bytes(&files.directory, &model);
    let about = About {
        model: &model.config.name,
        arch: files.directory.metadata.str("general.architecture")?.unwrap_or_default(),
        n_experts: model.config.experts.n,
        n_used: model.config.experts.n_used,
        layers: &layers,
    };
    let file = File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    let mut writer = Writer::new(BufWriter::new(file), &about)?;

    let api::Model { mut engine, tokenizer, .. } = load::load(location, &files, &args.limits, options).await?;
    engine.watch_routes();
    let stops = if args.ignore_eos { Vec::new() } else { api::ends(&tokenizer) };
    let sampling = args.sampling.options(args.temperature);
    let (mut context, mut counts) = (Vec::new(), Counts::default());
    let mut uses = vec![0_u32; layers.len() * model.config.experts.n as usize];
    for (turn, ids) in (0..).zip(args.turns(&tokenizer)) {
        context.extend(ids);
        let request = Request { prompt: &context, max_tokens: args.max_tokens, sampling: sampling.clone(), stops: &stops };
        let generated = engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(())).await?;
        let n_prefill = context.len() - generated.n_reused;
        let seen = engine.take_routes();
        for Seen { layer, choices, .. } in &seen {
            choices.iter().for_each(|choice| uses[(layer * model.config.experts.n + choice.expert) as usize] += 1);
        }
        counts.add(write_turn(&mut writer, turn, n_prefill, &seen, &layers)?);
        context.extend(generated.ids);
    }
    writer.finish()?;
    let Counts { prefill, decode, hits, choices } = counts;
    if let Some(path) = &args.heat {
        let heat: Vec<f32> = uses.iter().map(|&uses| Heat::mean(uses as f32 / (prefill + decode).max(1) as f32)).collect();
        let map = api::encode_heat(&heat, layers.len(), model.config.experts.n);
        fs::write(path, map).with_context(|| format!("cannot write {}", path.display()))?;
    }
    output::bytes(
        format!(
            "{}: {prefill} prompt and {decode} decoded tokens in {} layers; {:.1} % of {choices} choices were on the GPU\n",
            args.out.display(),
            layers.len(),
            100.0 * hits as f64 / choices.max(1) as f64,
        )
        .as_bytes(),
    )
}

impl Args {
    /// What each turn adds to the text.
    fn turns(&self, tokenizer: &Tokenizer) -> Vec<Vec<u32>> {
        let texts = self.prompt.iter().map(|text| tokenizer.encode(text));
        let mut turns: Vec<Vec<u32>> = texts.chain(self.tokens.iter().map(|Ids(ids)| ids.clone())).collect();
        if let (false, Some(first)) = (self.prompt.is_empty(), turns.first_mut()) {
            first.splice(0..0, tokenizer.bos_to_add());
        }
        turns
    }
}

/// What was written.
#[derive(Debug, Default)]
struct Counts {
    /// Tokens
    prefill: usize,
    decode: usize,
    hits: usize,
    choices: usize,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.prefill += more.prefill;
        self.decode += more.decode;
        self.hits += more.hits;
        self.choices += more.choices;
    }
}

/// Writes what was seen in a turn, whose prompt ran `n_prefill` tokens.
fn write_turn(writer: &mut Writer<BufWriter<File>>, turn: u32, n_prefill: usize, seen: &[Seen], layers: &[LayerBytes]) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut n_tokens = vec![0; layers.len()];
    for Seen { layer, choices, missed } in seen {
        let nth = &mut n_tokens[*layer as usize];
        let (phase, step) = if *nth < n_prefill { (Phase::Prefill, *nth) } else { (Phase::Decode, *nth - n_prefill) };
        *nth += 1;
        let expert_bytes = layers[*layer as usize].expert;
        let routed = choices.iter().zip(missed).map(|(&choice, &missed)| Routed {
            choice,
            resident: !missed,
            bytes_read: if missed { expert_bytes } else { 0 },
        });
        writer.token(Place { turn, phase, step: step as u32, layer: *layer }, &routed.collect::<Vec<_>>())?;
        counts.choices += choices.len();
        counts.hits += missed.iter().filter(|missed| !**missed).count();
    }
    let ran = n_tokens.first().copied().unwrap_or_default();
    counts.prefill = n_prefill.min(ran);
    counts.decode = ran - counts.prefill;
    Ok(counts)
}

/// Bytes of each layer's tensors in the files.
fn layer_bytes(directory: &Directory, model: &Model) -> Vec<LayerBytes> {
    let layers = model.layers.iter().enumerate().map(|(i, layer)| {
        let prefix = format!("blk.{i}.");
        let of_layer = directory.tensors.iter().filter(|tensor| tensor.name.starts_with(&prefix));
        let all: u64 = of_layer.map(|tensor| tensor.bytes).sum();
        let expert = layer.expert_tensors.iter().flatten().map(|tensor| tensor.slice_bytes).sum();
        LayerBytes { expert, dense: all.saturating_sub(expert * u64::from(model.config.experts.n)) }
    });
    layers.collect()
}
