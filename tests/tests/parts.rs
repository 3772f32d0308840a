//! Every part of gpt-oss's definition is needed: taken out one at a time, the golden logits are missed by as much as
//! those of a float64 forward without it (`tests/vectors/nano/forward.py`, over the stored positions).
#![allow(clippy::unwrap_used, reason = "tests")]

use engine::Executor;
use kernels::ops::KvType;
use kernels::{BufferId, Slice};
use model::{Model, Options};
use tests::{Twins, gpu, open, open_bytes, read_f32, read_ids, relative_rms, vector};

const N_VOCAB: usize = 300;
const MODEL: &str = "nano/nano-f32.gguf";

/// One way to take something out of a model.
enum Change {
    /// A metadata key with another value.
    Key(&'static str, &'static str),
    /// Weights whose names end so, times a factor.
    Scale(&'static str, f32),
    Options(fn(&mut Options)),
    Model(fn(&mut Model)),
}
use Change::{Key, Scale};

/// A power of two, so that scaling by it rounds nothing.
const TINY: f32 = 1.0 / 64.0;

/// The name of a part, how many tokens of a golden run need it (300 are the beginning of the run of 900), what it is
/// worth (the relative RMS change of the logits in a float64 forward without it), and how it is taken out.
type Part = (&'static str, u32, f64, &'static [Change]);

const PARTS: &[Part] = &[
    ("sinks", 40, 0.925_86, &[Change::Model(without_sinks)]),
    ("the window", 300, 0.335_06, &[Change::Model(|m| m.layers.iter_mut().for_each(|l| l.window = u32::MAX))]),
    ("the last key of the window", 300, 0.041_87, &[Change::Model(|m| slide(m, 127))]),
    ("the end of the window", 300, 0.058_81, &[Change::Model(|m| slide(m, 129))]),
    ("the window's parity", 300, 0.375_21, &[Change::Model(shift_windows)]),
    // In gate' = gate/64 the clamp begins at 448; alpha and the down projection take the factor back.
    (
        "the clamp of gate",
        40,
        0.130_40,
        &[
            Scale("ffn_gate_exps.weight", TINY),
            Scale("ffn_gate_exps.bias", TINY),
            Scale("ffn_down_exps.weight", 1.0 / TINY),
            Change::Model(|m| m.config.swiglu.alpha /= TINY),
        ],
    ),
    // In up' = up/64 likewise; so is the 1 that is added to it.
    (
        "the clamp of up",
        40,
        0.189_89,
        &[
            Scale("ffn_up_exps.weight", TINY),
            Scale("ffn_up_exps.bias", TINY),
            Scale("ffn_down_exps.weight", 1.0 / TINY),
            Change::Model(|m| m.config.swiglu.shift *= TINY),
        ],
    ),
    ("alpha 1.702", 40, 0.043_09, &[Change::Model(|m| m.config.swiglu.alpha = 1.0)]),
    ("YaRN", 40, 0.734_56, &[Key("gpt-oss.rope.scaling.type", "none")]),
    ("YaRN's unrounded range", 300, 0.014_00, &[Change::Options(|o| o.yarn_rounded = true)]),
    ("the bias of q", 40, 0.540_46, &[Scale("attn_q.bias", 0.0)]),
    ("the bias of k", 40, 0.520_96, &[Scale("attn_k.bias", 0.0)]),
    ("the bias of v", 40, 0.759_64, &[Scale("attn_v.bias", 0.0)]),
    ("the bias of the attention output", 40, 0.515_44, &[Scale("attn_output.bias", 0.0)]),
    ("the bias of the router", 40, 0.327_75, &[Scale("ffn_gate_inp.bias", 0.0)]),
    ("the bias of gate", 40, 0.360_33, &[Scale("ffn_gate_exps.bias", 0.0)]),
    ("the bias of up", 40, 0.304_42, &[Scale("ffn_up_exps.bias", 0.0)]),
    ("the bias of down", 40, 0.438_30, &[Scale("ffn_down_exps.bias", 0.0)]),
    ("the 1 of up + 1", 40, 0.225_75, &[Change::Model(|m| m.config.swiglu.shift = 0.0)]),
    ("YaRN's concentration", 40, 0.734_97, &[Change::Model(|m| m.rope.concentration = 1.0)]),
    ("the fourth expert", 40, 0.147_97, &[Change::Model(|m| m.config.experts.n_used = 3)]),
];

fn without_sinks(model: &mut Model) {
    let i = model.buffers.iter().position(|b| b.label == "no sinks").unwrap();
    let bytes = model.buffers.iter().nth(i).unwrap().bytes;
    let no_sinks = Slice { buffer: BufferId(i as u32), offset: 0, bytes };
    model.layers.iter_mut().for_each(|l| l.sinks = no_sinks);
}

fn slide(model: &mut Model, window: u32) {
    for layer in model.layers.iter_mut().filter(|l| l.window != u32::MAX) {
        layer.window = window;
    }
}

fn shift_windows(model: &mut Model) {
    let [sliding, full] = [0, 1].map(|l| model.layers[l].window);
    assert_eq!([sliding, full], [128, u32::MAX]);
    for (l, layer) in model.layers.iter_mut().enumerate() {
        layer.window = if l % 2 == 0 { full } else { sliding };
    }
}

/// A chunk as long as the context gives every layer a cache of the whole context, whatever its window.
fn options(n: u32) -> Options {
    Options { context: n, kv: KvType::F32, chunk: n, logit_rows: n, ..Options::default() }
}

/// By how much the golden logits of `n` tokens are missed, relative RMS, with `changes` made.
fn miss(executor: &mut Executor, n: u32, changes: &[Change]) -> f64 {
    let mut files = open(&vector(MODEL));
    let mut bytes = std::fs::read(vector(MODEL)).unwrap();
    let mut options = options(n);
    for change in changes {
        match change {
            Change::Scale(suffix, factor) => {
                let found: Vec<_> = files.directory.tensors.iter().filter(|t| t.name.ends_with(suffix)).collect();
                assert!(!found.is_empty(), "no tensor ends with {suffix}");
                for tensor in found {
                    let range = tensor.start as usize..(tensor.start + tensor.bytes) as usize;
                    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes[range.clone()]);
                    let scaled: Vec<f32> = values.iter().map(|v| v * factor).collect();
                    bytes[range].copy_from_slice(bytemuck::cast_slice(&scaled));
                }
            }
            Change::Options(change) => change(&mut options),
            Change::Key(..) | Change::Model(_) => {}
        }
    }
    files = open_bytes(bytes).unwrap();
    for change in changes {
        if let Change::Key(key, value) = change {
            assert!(files.directory.metadata.get(key).is_some(), "no key {key}");
            files.directory.metadata.set(*key, *value);
        }
    }
    let mut model = Model::new(&files.directory, options).unwrap();
    for change in changes {
        if let Change::Model(change) = change {
            change(&mut model);
        }
    }
    let run = if n > 40 { 900 } else { 40 };
    let tokens = &read_ids(&format!("nano/tokens-{run}.txt"))[..n as usize];
    let logits = Twins::of(&files, model).logits_on_gpu(executor, tokens);
    let positions = read_ids(&format!("nano/positions-{run}.txt"));
    let stored: Vec<f32> =
        positions.iter().filter(|p| **p < n).flat_map(|p| &logits[*p as usize * N_VOCAB..][..N_VOCAB]).copied().collect();
    relative_rms(&stored, &read_f32(&format!("nano/nano-f32.logits-{run}.f32"))[..stored.len()])
}

#[test]
fn without_any_part_of_the_definition_the_golden_logits_are_missed() {
    let executor = &mut Executor::new(gpu());
    for n in [40, 300] {
        let whole = miss(executor, n, &[]);
        assert!(whole < 1e-5, "nothing taken out, {n} tokens: relative RMS {whole:.1e}");
    }
    for (name, n, worth, changes) in PARTS {
        let missed = miss(executor, *n, changes);
        println!("without {name}, {n} tokens: {:.2} %, the float64 forward says {:.2} %", missed * 100.0, worth * 100.0);
        assert!(missed > 0.01, "without {name} the golden logits of {n} tokens are missed by {missed:.1e} only");
        assert!((missed / worth - 1.0).abs() < 0.01, "without {name}: missed by {missed}, it is worth {worth}");
    }
}

#[test]
fn scaling_gate_and_up_takes_out_nothing_but_their_clamps() {
    let untouched = miss(
        &mut Executor::new(gpu()),
        40,
        &[
            Scale("ffn_gate_exps.weight", TINY),
            Scale("ffn_gate_exps.bias", TINY),
            Scale("ffn_up_exps.weight", TINY),
            Scale("ffn_up_exps.bias", TINY),
            Scale("ffn_down_exps.weight", 1.0 / TINY / TINY),
            Change::Model(|m| {
                let swiglu = &mut m.config.swiglu;
                (swiglu.alpha, swiglu.shift, swiglu.limit) = (swiglu.alpha / TINY, swiglu.shift * TINY, swiglu.limit * TINY);
            }),
        ],
    );
    assert!(untouched < 1e-5, "relative RMS {untouched:.1e}");
}

#[test]
fn the_residual_stream_after_each_layer_is_that_of_a_float64_forward() {
    let files = open(&vector(MODEL));
    for n in [1, 40] {
        let tokens = read_ids(&format!("nano/tokens-{n}.txt"));
        let golden = read_f32(&format!("nano/nano-f32.residual-{n}.f32"));
        let got = Twins::new(&files, options(n)).residuals(&tokens);
        let per_layer = golden.len() / 3;
        for (l, (got, golden)) in got.chunks(per_layer).zip(golden.chunks(per_layer)).enumerate() {
            let error = relative_rms(got, golden);
            assert!(error < 1e-5, "{n} tokens after layer {l}: relative RMS {error:.1e}");
        }
        assert_eq!(got.len(), golden.len());
    }
}
