//! `quire inspect`: what a header says, and what memory the model would take.

use std::fmt::Write;

use anyhow::{Context, Result};
use api::Files;
use engine::Gpu;
use gguf::DType;
use model::{Architecture, Budget, Model, Options, Usage};
use serde::Serialize;

use crate::args::{self, Limits};
use crate::load;
use crate::output::{self, size};

/// Show a model's hyperparameters, tensor types and memory plan; reads only the header
///
/// Tells also what GPU memory the model would take: half of the machine's where the GPU shares it. One with memory of its own is asked
/// only when a model is loaded, which may then get fewer slots than are said here. Sizes in the JSON are bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
    #[command(flatten)]
    limits: Limits,
    /// For so many sequences at a time, as `quire serve --parallel N` answers them
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=args::MOST_PARALLEL))]
    parallel: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let model = &args.model.location;
    let files = load::open(&args.model).await?;
    let options = Options { sequences: args.parallel, ..load::options(model, &files, &args.limits)? };
    let report =
        Report::new(&files, options, load::budget(&args.limits, Gpu::open().await.ok().as_ref())).with_context(|| model.clone())?;
    if args.json { output::json(&report) } else { output::bytes(report.text()?.as_bytes()) }
}

/// All sizes in bytes.
#[derive(Debug, Serialize)]
struct Report {
    name: String,
    architecture: &'static str,
    files: Vec<File>,
    header_bytes: u64,
    hyperparameters: Hyperparameters,
    n_tensors: usize,
    tensor_types: Vec<TensorType>,
    bytes: Bytes,
    memory: Memory,
}

#[derive(Debug, Serialize)]
struct File {
    location: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Hyperparameters {
    n_layers: u32,
    n_embd: u32,
    n_ffn: u32,
    n_vocab: u32,
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    n_experts: u32,
    n_experts_used: u32,
    context_length: u32,
    /// Keys a query sees in a sliding layer; absent where no layer slides.
    #[serde(skip_serializing_if = "Option::is_none")]
    sliding_window: Option<u32>,
    n_sliding_layers: usize,
    rms_eps: f32,
    rope_theta: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    yarn_factor: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yarn_original_context: Option<f32>,
}

#[derive(Debug, Serialize)]
struct TensorType {
    #[serde(rename = "type")]
    dtype: &'static str,
    count: usize,
    bytes: u64,
}

/// Of tensors in the files.
#[derive(Debug, Serialize)]
struct Bytes {
    /// Everything that each token needs.
    dense: u64,
    experts: u64,
    /// One expert in one layer; 0 in a dense model.
    per_expert: u64,
    total: u64,
}

/// On the GPU.
#[derive(Debug, Serialize)]
struct Memory {
    /// Positions of each sequence.
    context: u32,
    sequences: u32,
    kv_type: &'static str,
    /// Weights that every token needs.
    dense: u64,
    /// Absent in a dense model.
    #[serde(skip_serializing_if = "Option::is_none")]
    experts: Option<Slots>,
    kv_cache: u64,
    scratch: u64,
    total: u64,
}

/// Places for experts.
#[derive(Debug, Serialize)]
struct Slots {
    /// A layer.
    slots: u32,
    /// Of all slots in all layers.
    bytes: u64,
    /// The fewest slots that a layer can do with, and what all memory is then.
    least_slots: u32,
    least_total: u64,
}

impl Slots {
    fn new(files: &Files, model: &Model) -> Result<Self, model::Error> {
        let least_slots = model.least_slots();
        let least = Model::new(&files.directory, Options { slots: Some(least_slots), ..model.options.clone() })?;
        Ok(Self { slots: model.n_slots, bytes: model.slots_bytes(), least_slots, least_total: least.gpu_bytes() })
    }
}

impl Report {
    /// Of the model with as many slots as `budget` allows, or as the options ask for.
    fn new(files: &Files, options: Options, budget: Budget) -> Result<Self, model::Error> {
        let model = Model::within(&files.directory, options, budget)?;
        let config = &model.config;
        let n_experts = match config.architecture {
            Architecture::GptOss => config.experts.n,
            Architecture::Llama => 0,
        };
        let tensors = &files.directory.tensors;
        let types = DType::ALL.iter().filter_map(|&dtype| {
            let of_type = tensors.iter().filter(|tensor| tensor.dtype == dtype);
            let (count, bytes) = of_type.fold((0, 0), |(count, bytes), tensor| (count + 1, bytes + tensor.bytes));
            (count > 0).then(|| TensorType { dtype: dtype.name(), count, bytes })
        });
        let kv_cache = model.layers.iter().map(|layer| layer.kv.k.bytes + layer.kv.v.bytes).sum();
        let experts = model.is_sparse().then(|| Slots::new(files, &model)).transpose()?;
        let weights = model.buffers.bytes(Usage::Weights);
        let dense = weights - experts.as_ref().map_or(0, |slots| slots.bytes);
        let total = model.gpu_bytes();
        let sizes = files.directory.file_bytes.iter();
        Ok(Self {
            name: config.name.clone(),
            architecture: match config.architecture {
                Architecture::GptOss => "gpt-oss",
                Architecture::Llama => "llama",
            },
            files: files
                .library
                .shards()
                .iter()
                .zip(sizes)
                .map(|(source, &bytes)| File { location: source.location().to_owned(), bytes })
                .collect(),
            header_bytes: files.header_bytes,
            hyperparameters: Hyperparameters {
                n_layers: config.n_layers,
                n_embd: config.n_embd,
                n_ffn: config.n_ffn,
                n_vocab: config.n_vocab,
                n_heads: config.heads.n,
                n_kv_heads: config.heads.n_kv,
                head_dim: config.heads.dim,
                n_experts,
                n_experts_used: if n_experts > 0 { config.experts.n_used } else { 0 },
                context_length: config.n_context,
                sliding_window: config.windows.iter().copied().find(|&window| window != u32::MAX),
                n_sliding_layers: config.windows.iter().filter(|&&window| window != u32::MAX).count(),
                rms_eps: config.eps,
                rope_theta: config.rope.theta,
                yarn_factor: config.rope.yarn.as_ref().map(|yarn| yarn.factor),
                yarn_original_context: config.rope.yarn.as_ref().map(|yarn| yarn.original_context),
            },
            n_tensors: tensors.len(),
            tensor_types: types.collect(),
            bytes: Bytes {
                dense: model.bytes.dense,
                experts: model.bytes.experts,
                per_expert: model.bytes.per_expert,
                total: tensors.iter().map(|tensor| tensor.bytes).sum(),
            },
            memory: Memory {
                context: model.options.context,
                sequences: model.options.sequences,
                kv_type: model.options.kv.name(),
                dense,
                experts,
                kv_cache,
                scratch: total - weights - kv_cache,
                total,
            },
        })
    }

    /// For people.
    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let (h, bytes, memory) = (&self.hyperparameters, &self.bytes, &self.memory);
        writeln!(out, "{} ({})", self.name, self.architecture)?;
        for file in &self.files {
            writeln!(out, "  {}, {}", file.location, size(file.bytes))?;
        }
        writeln!(out, "\nhyperparameters")?;
        writeln!(out, "  {:12} {}", "layers", h.n_layers)?;
        writeln!(out, "  {:12} {}", "hidden", h.n_embd)?;
        writeln!(out, "  {:12} {} wide", "FFN", h.n_ffn)?;
        writeln!(out, "  {:12} {} query, {} key and value, {} wide", "heads", h.n_heads, h.n_kv_heads, h.head_dim)?;
        if h.n_experts > 0 {
            writeln!(out, "  {:12} {}, {} used", "experts", h.n_experts, h.n_experts_used)?;
        }
        writeln!(out, "  {:12} {}", "vocabulary", h.n_vocab)?;
        writeln!(out, "  {:12} {}", "context", h.context_length)?;
        if let Some(window) = h.sliding_window {
            writeln!(out, "  {:12} {window} keys in {} layers", "window", h.n_sliding_layers)?;
        }
        write!(out, "  {:12} theta {}", "RoPE", h.rope_theta)?;
        match (h.yarn_factor, h.yarn_original_context) {
            (Some(factor), Some(original)) => writeln!(out, ", YaRN {factor} times from {original}")?,
            _ => writeln!(out)?,
        }
        writeln!(out, "\n{} tensors, {}", self.n_tensors, size(bytes.total))?;
        for of in &self.tensor_types {
            writeln!(out, "  {:12} {:>5} {:>10}", of.dtype, of.count, size(of.bytes))?;
        }
        writeln!(out, "  {:12} {:>16}", "dense", size(bytes.dense))?;
        if bytes.experts > 0 {
            writeln!(out, "  {:12} {:>16}, {} an expert in a layer", "experts", size(bytes.experts), size(bytes.per_expert))?;
        }
        let each = if memory.sequences > 1 { format!(" for each of {} sequences", memory.sequences) } else { String::new() };
        writeln!(out, "\nGPU memory for a context of {}{each} ({})", memory.context, memory.kv_type)?;
        writeln!(out, "  {:12} {:>16}", "dense", size(memory.dense))?;
        if let Some(Slots { slots, bytes, .. }) = &memory.experts {
            writeln!(out, "  {:12} {:>16}, {slots} of {} a layer", "slots", size(*bytes), h.n_experts)?;
        }
        for (part, bytes) in [("KV cache", memory.kv_cache), ("scratch", memory.scratch), ("total", memory.total)] {
            writeln!(out, "  {part:12} {:>16}", size(bytes))?;
        }
        if let Some(Slots { least_slots, least_total, .. }) = &memory.experts {
            writeln!(out, "  {:12} {:>16}, {least_total} B, with {least_slots} slots a layer", "at least", size(*least_total))?;
        }
        Ok(out)
    }
}
