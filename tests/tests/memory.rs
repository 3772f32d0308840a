//! GPUs that have less memory than a model would like: it makes do with fewer slots for experts, or says what it needs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use api::{Error, LoadOptions, Model};
use engine::{Cancel, Request, SamplingOptions};
use model::Options;
use tests::{gpu, made_model, open, vector};

const PROMPT: [u32; 7] = [5, 80, 200, 17, 9, 33, 140];

/// 4 layers of 16 experts, of which a token uses 4.
fn nano() -> PathBuf {
    vector("nano-moe16/nano-moe16.gguf")
}

fn options(slots: Option<u32>) -> Options {
    Options { context: 128, slots, ..Options::default() }
}

/// Bytes of all buffers of the model with so many slots.
fn bytes(slots: u32) -> u64 {
    let files = open(&nano());
    let options = Options { max_binding: gpu().max_binding(), ..options(Some(slots)) };
    model::Model::new(&files.directory, options).unwrap().gpu_bytes()
}

/// A model on a GPU that has `room` bytes for it.
fn load(path: &Path, slots: Option<u32>, room: u64) -> Result<Model, Error> {
    let (gpu, files) = (gpu(), open(path));
    gpu.confine(room);
    let options = LoadOptions { model: options(slots), ..LoadOptions::default() };
    pollster::block_on(Model::load(&files, gpu, options, &Cancel::default(), &mut |_| {}))
}

fn ids(model: &mut Model) -> Vec<u32> {
    let request = Request { prompt: &PROMPT, max_tokens: 40, sampling: SamplingOptions::greedy(), stops: &[] };
    pollster::block_on(model.engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap().ids
}

#[test]
fn where_the_gpu_runs_out_of_memory_fewer_slots_say_the_same() {
    let mut whole = load(&nano(), None, u64::MAX).unwrap();
    assert_eq!(whole.engine.model().n_slots, 16);
    let expected = ids(&mut whole);
    // A quarter less at each try: 12, 9, 6, 5.
    for (room, slots) in [(bytes(16), 16), (bytes(16) - 1, 12), (bytes(9), 9), (bytes(9) - 1, 6), (bytes(6) - 1, 5), (bytes(5), 5)] {
        let mut model = load(&nano(), None, room).unwrap();
        assert_eq!(model.engine.model().n_slots, slots, "{room} B");
        assert!(model.engine.gpu_bytes() <= room);
        assert_eq!(ids(&mut model), expected, "{slots} slots");
    }
}

#[test]
fn where_not_even_the_fewest_slots_fit_the_error_says_what_is_needed() {
    for room in [bytes(5) - 1, bytes(5) / 2, 0] {
        let error = load(&nano(), None, room).unwrap_err();
        assert_eq!(error.code(), "out_of_memory");
        let words = error.to_string();
        assert!(words.starts_with(&format!("the model needs {} B of GPU memory at least, and", bytes(5))), "{words}");
        assert!(words.contains("the GPU has no memory for "), "{words}");
    }
}

#[test]
fn slots_that_somebody_asked_for_are_not_taken_away_and_a_dense_model_has_none_to_give_up() {
    for (path, slots) in [(nano(), Some(8)), (made_model("smollm2"), None)] {
        let room = load(&path, slots, u64::MAX).unwrap().engine.gpu_bytes();
        let words = load(&path, slots, room - 1).unwrap_err().to_string();
        assert!(words.starts_with(&format!("the model needs {room} B of GPU memory at least")), "{words}");
    }
}
