/// Anything that can go wrong between a location and an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{location}: {error}")]
    Header { location: String, error: gguf::Error },
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Text(#[from] text::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// `needed` bytes of GPU memory is the least that the model can do with.
    #[error("the model needs {needed} B of GPU memory at least, and {refused}")]
    OutOfMemory { needed: u64, refused: engine::Error },
    #[error("metadata: {0}")]
    Metadata(#[from] gguf::Error),
    #[error("the model's vocabulary is missing: no {key} in the metadata")]
    NoVocabulary { key: &'static str },
    #[error("the model cannot chat: its file has neither Harmony's control tokens nor a chat template")]
    NoDialect,
    #[error("{why}")]
    Request { why: String },
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// For programs: one of the codes that the JavaScript API documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cancelled => "aborted",
            Self::Store(error) => store_code(error),
            Self::Header { .. } | Self::Metadata(_) | Self::NoVocabulary { .. } => "format",
            Self::Model(model::Error::Context { .. }) => "context_length",
            Self::OutOfMemory { .. } | Self::Model(model::Error::Budget { .. }) => "out_of_memory",
            Self::Text(text::Error::NoGrammars { .. }) => "network",
            Self::Text(_) | Self::Request { .. } | Self::Model(model::Error::Option { .. } | model::Error::Slots { .. }) => {
                "invalid_request"
            }
            Self::Model(_) | Self::NoDialect => "unsupported",
            Self::Engine(error) => match error {
                engine::Error::NoAdapter { .. } | engine::Error::NoDevice { .. } => "no_webgpu",
                engine::Error::DeviceLost { .. } => "device_lost",
                engine::Error::Gpu { .. } => "internal",
                engine::Error::OutOfMemory { .. } | engine::Error::RanOut { .. } => "out_of_memory",
                engine::Error::ContextLength { .. } => "context_length",
                engine::Error::Unfinished { .. } => "format",
                engine::Error::Feed(error) => error.downcast_ref().map_or("network", store_code),
                _ => "invalid_request",
            },
        }
    }
}

fn store_code(error: &store::Error) -> &'static str {
    match error {
        store::Error::Cancelled { .. } => "aborted",
        store::Error::Full { .. } => "quota",
        store::Error::Changed { .. } | store::Error::Unlike { .. } => "integrity",
        store::Error::Incomplete { .. } | store::Error::Manifest { .. } => "invalid_request",
        store::Error::Format { .. } => "unsupported",
        store::Error::Busy { .. } => "busy",
        _ => "network",
    }
}
