//! From files to a model that answers.

use std::sync::Arc;

use engine::{Bounds, Cancel, Engine, Gpu, MOST_LOSSES, Seat, Seats};
use futures_util::future::join;
use gguf::Directory;
use model::{Budget, Options};
use text::{SpecialIds, Tokenizer};

use crate::constrained::Forms;
use crate::{Dialect, Error, Files, Fill, Monitor, Stats, heat, plan, shapes};

/// What a caller decides about loading.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    pub model: Options,
    /// For all buffers together; experts that do not fit are paged.
    pub gpu_memory: Budget,
    /// Bytes of host memory for experts that the GPU has no room for. Less than one expert is none.
    pub max_ram_bytes: u64,
}

/// Dense weights that were read, of all that must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes
    pub loaded: u64,
    /// Bytes
    pub total: u64,
}

/// A model with its text side. What answers is an engine, or a seat at one.
#[derive(Clone, Debug)]
pub struct Model<V = Engine> {
    pub engine: V,
    pub tokenizer: Arc<Tokenizer>,
    /// `None` if the file does not say how to chat.
    pub dialect: Option<Arc<Dialect>>,
    /// What answers call it.
    pub(crate) name: String,
    pub(crate) forms: Arc<Forms>,
    pub(crate) bounds: Bounds,
    pub(crate) monitor: Monitor,
    pub(crate) fill: Fill,
}

impl Model {
    /// Reads the dense weights of `files` onto `gpu`; experts come when they are needed.
    ///
    /// # Errors
    /// What the medium, the file, or the GPU reports; [`store::Error::Cancelled`] after `cancel`.
    pub async fn load(
        files: &Files,
        gpu: Gpu,
        options: LoadOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, Error> {
        let tokenizer = Arc::new(tokenizer(&files.directory)?);
        let dialect = match Dialect::new(&files.directory, &tokenizer) {
            Ok(dialect) => Some(Arc::new(dialect)),
            Err(error) => {
                log::warn!("{error}");
                None
            }
        };
        let max_ram_bytes = options.max_ram_bytes;
        let unusable: Vec<u32> = tokenizer.unusable().collect();
        let kept = shapes::restore(&files.library, &gpu).await;
        let mut engine = plan::place(files, gpu, options, &unusable).await?;
        shapes::keep(&files.library, engine.gpu(), &kept).await;
        let experts = engine.experts().clone();
        let (loaded, ()) = join(read_dense(&mut engine, cancel, on_progress), heat::restore(&files.library, &experts)).await;
        if !loaded? {
            let location = files.location().to_owned();
            return Err(store::Error::Cancelled { location }.into());
        }
        let monitor = Monitor::new(&engine, files).await?;
        monitor.hold_in_memory(max_ram_bytes);
        let fill = Fill::new(monitor.clone());
        let name = engine.model().config.name.clone();
        let forms = Arc::new(Forms::new(tokenizer.clone()));
        let bounds = engine.bounds();
        Ok(Self { engine, tokenizer, dialect, name, forms, bounds, monitor, fill })
    }

    /// The same for one of many who are answered together: [`Engine::attend`] makes their answers.
    pub fn at(&self, seats: &Seats) -> Model<Seat> {
        let Self { engine: _, tokenizer, dialect, name, forms, bounds, monitor, fill } = self;
        Model {
            engine: seats.seat(),
            tokenizer: tokenizer.clone(),
            dialect: dialect.clone(),
            name: name.clone(),
            forms: forms.clone(),
            bounds: *bounds,
            monitor: monitor.clone(),
            fill: fill.clone(),
        }
    }
}

impl<V> Model<V> {
    /// Looks at this model while it works.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Brings what nobody has asked for yet.
    pub fn fill(&self) -> &Fill {
        &self.fill
    }

    pub fn stats(&self) -> Stats {
        self.monitor.stats()
    }

    /// Waits until the next visit has what this one brought: the bytes that came, and how much each expert was used. A fill that lacked
    /// room goes on if there is some now. [`Model::chat`] does so after each answer.
    pub async fn settle(&self) {
        self.monitor.library().flush().await;
        heat::keep(self.monitor.library(), self.monitor.experts()).await;
        self.fill.retry_with_room().await;
    }

    /// As its file calls it, or as it was called since.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it the name that its answers bear from now on.
    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }
}

/// Reads the dense weights. A device that is lost meanwhile, or runs out of memory, gives way to another one, with fewer experts if it is
/// for want of memory. False if `cancel` ended it.
async fn read_dense(engine: &mut Engine, cancel: &Cancel, on_progress: &mut dyn FnMut(Progress)) -> Result<bool, engine::Error> {
    let total = engine.model().uploads.iter().map(|u| u.bytes).sum();
    let mut n_losses = 0;
    loop {
        let mut loaded = 0;
        on_progress(Progress { loaded, total });
        let mut on_bytes = |bytes| {
            loaded += bytes;
            on_progress(Progress { loaded, total });
        };
        let read = match n_losses {
            0 => engine.load(cancel, &mut on_bytes).await,
            _ => engine.revive(cancel, &mut on_bytes).await,
        };
        match read {
            Err(engine::Error::DeviceLost { why }) => {
                log::warn!("the GPU was lost while the model was loaded: {why}");
                n_losses += 1;
                if n_losses == MOST_LOSSES {
                    return Err(engine.gpu().last_loss(why));
                }
            }
            read => return read,
        }
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
