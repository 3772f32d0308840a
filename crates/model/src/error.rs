/// Why a file is not a model that can be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    #[error("architecture {got:?} is not supported: expected gpt-oss or llama")]
    Architecture { got: String },
    #[error(
        "this is Ollama's own dialect (architecture gptoss) with other names and another layout; use the GGUF from ggml-org/gpt-oss-20b-GGUF"
    )]
    OllamaDialect,
    #[error("metadata key {key:?} is missing")]
    MissingKey { key: String },
    #[error("metadata key {key:?} is {got}: expected {expected}")]
    BadValue { key: String, expected: String, got: String },
    #[error("tensor {tensor:?} is missing")]
    MissingTensor { tensor: String },
    #[error("tensor {tensor:?} has shape {got:?}: expected {expected:?}")]
    Shape { tensor: String, expected: Vec<u64>, got: Vec<u64> },
    #[error("tensor {tensor:?} is of type {got}: expected {expected}")]
    TensorType { tensor: String, expected: &'static str, got: &'static str },
    #[error("tensor {tensor:?} is not supported: {why}")]
    UnsupportedTensor { tensor: String, why: &'static str },
    #[error("{tensor:?} needs {needed} B in one binding, the adapter allows {limit}")]
    Binding { tensor: String, needed: u64, limit: u64 },
    #[error("a context of {got} is too long: {why}")]
    Context { got: u32, why: String },
    #[error("{got} slots a layer are too few: a token uses {n_used} experts, so at least {least} are needed")]
    Slots { got: u32, least: u32, n_used: u32 },
    #[error("the model needs {needed} B of GPU memory, the budget is {budget} B")]
    Budget { needed: u64, budget: u64 },
    #[error("option {name} is {got}: expected {expected}")]
    Option { name: &'static str, expected: &'static str, got: u64 },
}
