//! From files to a model that answers.

use std::ops::ControlFlow;

use engine::{Cancel, Engine, Gpu, Loader};
use gguf::Directory;
use model::Options;
use text::{SpecialIds, Tokenizer};

use crate::{Dialect, Error, Files};

/// What a caller decides about loading.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    pub model: Options,
    /// Bytes that all buffers together may have; `None` takes what is needed.
    pub max_gpu_bytes: Option<u64>,
}

/// Weights that were read, of all that must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes
    pub loaded: u64,
    /// Bytes
    pub total: u64,
}

/// A model with its text side.
#[derive(Debug)]
pub struct Model {
    pub engine: Engine,
    pub tokenizer: Tokenizer,
    /// `None` if the file does not say how to chat.
    pub dialect: Option<Dialect>,
}

/// Bytes asked for at once; between such runs the GPU catches up.
const RUN_BYTES: u64 = 16 << 20;

impl Model {
    /// Reads all weights of `files` onto `gpu`.
    ///
    /// # Errors
    /// What the medium, the file, or the GPU reports; [`store::Error::Cancelled`] after `cancel`.
    pub async fn load(
        files: &Files,
        gpu: Gpu,
        mut options: LoadOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, Error> {
        let tokenizer = tokenizer(&files.directory)?;
        let dialect = match Dialect::new(&files.directory, &tokenizer) {
            Ok(dialect) => Some(dialect),
            Err(error) => {
                log::warn!("{error}");
                None
            }
        };
        options.model.max_binding = options.model.max_binding.min(gpu.max_binding());
        let model = model::Model::new(&files.directory, options.model)?;
        let unusable = tokenizer.unusable().collect();
        let mut engine = Engine::new(gpu, model, unusable, options.max_gpu_bytes).await?;
        let mut loader = Loader::new(&engine).await?;
        let total = loader.total();
        let mut loaded = 0;
        on_progress(Progress { loaded, total });
        while let Some((shard, range)) = loader.next_run(RUN_BYTES) {
            let mut result = Ok(());
            let mut sink = |piece: &[u8]| {
                if cancel.is_cancelled() {
                    return ControlFlow::Break(());
                }
                loaded += piece.len() as u64;
                on_progress(Progress { loaded: loaded.min(total), total });
                result = loader.push(&mut engine, piece);
                if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let read = files.sources[shard].read(range, &mut sink).await;
            result?;
            read?;
            loader.settle(&engine).await?;
        }
        on_progress(Progress { loaded: total, total });
        Ok(Self { engine, tokenizer, dialect })
    }

    /// As its file calls it.
    pub fn name(&self) -> &str {
        &self.engine.model().config.name
    }
}

/// The tokenizer that a model's metadata describes.
///
/// # Errors
/// No vocabulary, or one of a kind that is not supported.
pub fn tokenizer(directory: &Directory) -> Result<Tokenizer, Error> {
    let metadata = &directory.metadata;
    let missing = |key| Error::NoVocabulary { key };
    let id = |key: &str| Ok::<_, Error>(metadata.u64(key)?.and_then(|id| u32::try_from(id).ok()));
    let tokens = metadata.strings("tokenizer.ggml.tokens")?.ok_or_else(|| missing("tokenizer.ggml.tokens"))?;
    let merges = metadata.strings("tokenizer.ggml.merges")?.ok_or_else(|| missing("tokenizer.ggml.merges"))?;
    let special = SpecialIds {
        bos: id("tokenizer.ggml.bos_token_id")?,
        eos: id("tokenizer.ggml.eos_token_id")?,
        pad: id("tokenizer.ggml.padding_token_id")?,
        eot: id("tokenizer.ggml.eot_token_id")?,
        add_bos: metadata.bool("tokenizer.ggml.add_bos_token")?,
    };
    Ok(Tokenizer::new(
        metadata.str("tokenizer.ggml.model")?.ok_or_else(|| missing("tokenizer.ggml.model"))?,
        metadata.str("tokenizer.ggml.pre")?.unwrap_or("gpt-2"),
        tokens.iter().map(str::as_bytes),
        &metadata.i32s("tokenizer.ggml.token_type")?.unwrap_or_default(),
        merges.iter().map(str::as_bytes),
        special,
    )?)
}
