/// Why the GPU or a request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("no WebGPU adapter was found: {why}")]
    NoAdapter { why: String },
    #[error("the adapter gave no device: {why}")]
    NoDevice { why: String },
    #[error("the GPU was lost: {why}")]
    DeviceLost { why: String },
    #[error("the GPU has no memory for {label} ({bytes} B): {why}")]
    OutOfMemory { label: String, bytes: u64, why: String },
    #[error("the GPU runs out of memory while it works, also with fewer experts: {why}")]
    RanOut { why: String },
    #[error("the GPU reported an error: {why}")]
    Gpu { why: String },
    #[error("the prompt has {got} tokens, the context holds {context}")]
    ContextLength { got: usize, context: u32 },
    #[error("the prompt is empty")]
    EmptyPrompt,
    #[error("token id {id} is not below the vocabulary's {n_vocab}")]
    TokenRange { id: u32, n_vocab: u32 },
    #[error("{name} is {got}: expected {expected}")]
    Option { name: &'static str, expected: &'static str, got: String },
    #[error("the answer cannot go on as its constraint wants: {why}")]
    Constraint { why: String },
    #[error("the heat map has {got} values, the model {expected} experts")]
    Heat { expected: usize, got: usize },
    #[error("shard {shard} gave {got} of {expected} bytes from {start} on")]
    Unfinished { shard: usize, start: u64, expected: u64, got: u64 },
    #[error(transparent)]
    Feed(crate::FeedError),
}
