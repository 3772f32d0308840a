//! What the tests share: the committed vectors, a model on a GPU, and the same model on CPU twins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so and stop")]

pub mod cdn;
pub mod parrot;
mod twins;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use api::Files;
use engine::{Cancel, Engine, Gpu, Urgency};
use kernels::ops::KvType;
use model::{Model, Options};

pub use twins::Twins;

/// `tests/vectors/NAME`.
pub fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

/// A model that `cargo xtask models` makes.
pub fn made_model(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/models/{name}.gguf"));
    assert!(path.is_file(), "{} is missing: `cargo xtask models` makes it", path.display());
    path
}

/// Little-endian f32 values of a committed file.
pub fn read_f32(name: &str) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&std::fs::read(vector(name)).unwrap())
}

pub fn read_u32(name: &str) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(&std::fs::read(vector(name)).unwrap())
}

/// Numbers separated by commas or spaces.
pub fn read_ids(name: &str) -> Vec<u32> {
    let text = std::fs::read_to_string(vector(name)).unwrap();
    text.split([',', ' ', '\n']).filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect()
}

/// `rms(got - expected) / rms(expected)`.
pub fn relative_rms(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len(), "lengths");
    let square = |x: f64| x * x;
    let error: f64 = got.iter().zip(expected).map(|(g, e)| square(f64::from(*g) - f64::from(*e))).sum();
    let scale: f64 = expected.iter().map(|e| square(f64::from(*e))).sum();
    (error / scale).sqrt()
}

/// The relative RMS of the row that is off most, rows of `n` numbers; NaN if one has such.
pub fn worst_row(got: &[f32], expected: &[f32], n: usize) -> f64 {
    got.chunks(n).zip(expected.chunks(n)).map(|(g, e)| relative_rms(g, e)).fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}

/// The files of a model at `path`.
pub fn open(path: &Path) -> Files {
    pollster::block_on(Files::open(&path.to_string_lossy())).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A file's bytes as a model, without a file.
pub fn open_bytes(bytes: Vec<u8>) -> Result<Files, api::Error> {
    pollster::block_on(Files::from_sources(vec![Rc::new(store::Memory::new("test", bytes))]))
}

/// Of small models: a sliding layer's ring holds a window of 128 and 512 positions to append to and to go back by, less than the context.
pub const OPTIONS: Options = Options {
    context: 1024,
    sequences: 1,
    kv: KvType::F16,
    chunk: 64,
    logit_rows: 1,
    yarn_rounded: false,
    max_binding: 128 << 20,
    slots: None,
};

/// The adapter that the tests run on.
pub fn gpu() -> Gpu {
    pollster::block_on(Gpu::open())
        .unwrap_or_else(|e| panic!("these tests need a Vulkan adapter, lavapipe will do (mesa-vulkan-drivers): {e}"))
}

/// A model with all its weights on a GPU.
pub fn engine(files: &Files, options: Options) -> Engine {
    engine_of(gpu(), files, Model::new(&files.directory, options).unwrap())
}

/// nano, all of it on the GPU.
pub fn nano(gpu: &Gpu, options: Options) -> Engine {
    let files = open(&vector("nano/nano.gguf"));
    engine_of(gpu.clone(), &files, Model::new(&files.directory, options).unwrap())
}

/// The same for a layout that a test may have changed; uploads that it dropped leave zeros.
pub fn engine_of(gpu: Gpu, files: &Files, model: Model) -> Engine {
    let mut engine = lazy_engine_of(gpu, files, model);
    assert!(pollster::block_on(engine.fill(Urgency::Demand, &Cancel::default())).unwrap());
    engine
}

/// With the dense weights alone: experts come when they are asked for.
pub fn lazy_engine_of(gpu: Gpu, files: &Files, model: Model) -> Engine {
    pollster::block_on(async {
        let unusable = api::tokenizer(&files.directory).unwrap().unusable().collect();
        let mut engine = Engine::new(gpu, model, files.feed(), unusable).await.unwrap();
        assert!(engine.load(&Cancel::default(), &mut |_| {}).await.unwrap());
        engine
    })
}
