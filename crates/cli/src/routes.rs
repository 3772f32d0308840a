//! Routing traces: which experts each layer chose, token by token, as CSV.
//!
//! Comment lines tell the model (`# model=… arch=… n_layer=… n_expert=… n_expert_used=…`) and the bytes of each layer;
//! then `turn,phase,step,layer,slot,expert,weight,residency,expert_bytes`, one row for each expert chosen: phase 0 is the
//! prompt and 1 decode, slot the expert's place among those of its token and layer, the heaviest first; residency is
//! 1 for an expert that was there, 0 for one that was not, and expert_bytes what was read for it.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use anyhow::{Context, Result, ensure};
use engine::policy::Choice;
use serde::{Deserialize, Serialize};

/// Layers and experts a layer that a trace may have; more is no model's.
const MOST: u32 = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Prefill,
    Decode,
}

/// What one layer's router chose for one token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) phase: Phase,
    /// The heaviest first, each expert once.
    pub(crate) chosen: Vec<Choice>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trace {
    pub(crate) model: String,
    pub(crate) n_experts: u32,
    /// By layer, the tokens in order.
    pub(crate) layers: BTreeMap<u32, Vec<Token>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    turn: u32,
    phase: u8,
    step: u32,
    layer: u32,
    slot: u32,
    expert: u32,
    weight: f32,
    #[serde(default)]
    residency: u8,
    #[serde(default)]
    expert_bytes: u64,
}

impl Trace {
    /// Parses a whole trace. Rows of a token and layer stand together; the tokens of a layer stand in order, while a
    /// prompt may come layer by layer.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let comments = bytes.split(|&b| b == b'\n').take_while(|line| line.first() == Some(&b'#'));
        let comments = comments.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        let about: HashMap<&str, &str> = comments.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let n_experts = about.get("n_expert").context("the trace's comment lines have no n_expert=")?;
        let n_experts: u32 = n_experts.parse().with_context(|| format!("n_expert={n_experts} is no number"))?;
        ensure!((1..=MOST).contains(&n_experts), "n_expert={n_experts}: expected 1 to {MOST}");
        let model = about.get("model").copied().unwrap_or_default().to_owned();

        let mut layers = BTreeMap::<u32, Vec<Token>>::new();
        let mut last = None;
        for row in csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(bytes).deserialize() {
            let Row { turn, phase, step, layer, expert, weight, .. } = row.context("cannot read the trace")?;
            let place = || format!("turn {turn}, step {step}, layer {layer}");
            ensure!(phase < 2, "{}: phase is {phase}, expected 0 or 1", place());
            ensure!(layer < MOST, "{}: expected a layer below {MOST}", place());
            ensure!(expert < n_experts, "{}: expert {expert} is not below {n_experts}", place());
            ensure!(weight.is_finite(), "{}: the weight of expert {expert} is {weight}", place());
            let tokens = layers.entry(layer).or_default();
            if last.replace((turn, phase, step, layer)) != Some((turn, phase, step, layer)) {
                let phase = if phase == 0 { Phase::Prefill } else { Phase::Decode };
                tokens.push(Token { phase, chosen: Vec::new() });
            }
            // There is one: this row's token has just been pushed, or was by the row before.
            if let Some(token) = tokens.last_mut() {
                ensure!(token.chosen.iter().all(|c| c.expert != expert), "{}: expert {expert} is chosen twice", place());
                token.chosen.push(Choice { expert, weight });
            }
        }
        Ok(Self { model, n_experts, layers })
    }

    /// Most experts that a layer chose for a token.
    pub(crate) fn n_used(&self) -> usize {
        self.layers.values().flatten().map(|token| token.chosen.len()).max().unwrap_or(0)
    }
}

/// The model that a trace is of.
#[derive(Debug, Clone)]
pub(crate) struct About<'a> {
    pub(crate) model: &'a str,
    pub(crate) arch: &'a str,
    pub(crate) n_experts: u32,
    pub(crate) n_used: u32,
    pub(crate) layers: &'a [LayerBytes],
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerBytes {
    /// Of one expert: gate, up and down.
    pub(crate) expert: u64,
    /// Of all that is no expert's.
    pub(crate) dense: u64,
}

/// When a router chose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) turn: u32,
    pub(crate) phase: Phase,
    /// Tokens before this one in the phase.
    pub(crate) step: u32,
    pub(crate) layer: u32,
}

/// One expert that a router chose, and what that cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routed {
    pub(crate) choice: Choice,
    /// It was in its slot already.
    pub(crate) resident: bool,
    /// Read for it, from whichever tier.
    pub(crate) bytes_read: u64,
}

/// Writes a trace as [`Trace::parse`] reads it.
#[derive(Debug)]
pub(crate) struct Writer<W: Write> {
    rows: csv::Writer<W>,
}

impl<W: Write> Writer<W> {
    /// Writes the comment lines.
    pub(crate) fn new(mut output: W, about: &About<'_>) -> Result<Self> {
        // A space would end the name for whoever reads it.
        let word = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("_");
        let mut lines = format!(
            "# route_trace v1\n# model={} arch={} n_layer={} n_expert={} n_expert_used={}\n",
            word(about.model),
            word(about.arch),
            about.layers.len(),
            about.n_experts,
            about.n_used,
        );
        for (layer, bytes) in about.layers.iter().enumerate() {
            lines.push_str(&format!("# layer={layer} expert_bytes={} dense_bytes={}\n", bytes.expert, bytes.dense));
        }
        output.write_all(lines.as_bytes()).context("cannot write the trace")?;
        Ok(Self { rows: csv::Writer::from_writer(output) })
    }

    /// What one layer's router chose for one token, the heaviest first.
    pub(crate) fn token(&mut self, place: Place, chosen: &[Routed]) -> Result<()> {
        for (slot, routed) in (0..).zip(chosen) {
            let row = Row {
                turn: place.turn,
                phase: u8::from(place.phase == Phase::Decode),
                step: place.step,
                layer: place.layer,
                slot,
                expert: routed.choice.expert,
                weight: routed.choice.weight,
                residency: u8::from(routed.resident),
                expert_bytes: routed.bytes_read,
            };
            self.rows.serialize(row).context("cannot write the trace")?;
        }
        Ok(())
    }

    /// Writes what is still held back.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.rows.flush().context("cannot write the trace")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const ABOUT: &str = "# model=m n_expert=4\nturn,phase,step,layer,slot,expert,weight\n";

    fn routed(expert: u32, weight: f32, bytes_read: u64) -> Routed {
        Routed { choice: Choice { expert, weight }, resident: bytes_read == 0, bytes_read }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let layers = [LayerBytes { expert: 100, dense: 7 }, LayerBytes { expert: 90, dense: 8 }];
        let about = About { model: "a b.gguf", arch: "gpt-oss", n_experts: 32, n_used: 2, layers: &layers };
        let mut csv = Vec::new();
        let mut writer = Writer::new(&mut csv, &about).unwrap();
        let place = |phase, step, layer| Place { turn: 0, phase, step, layer };
        // A prompt of two tokens, layer by layer.
        writer.token(place(Phase::Prefill, 0, 0), &[routed(31, 0.75, 100), routed(2, 0.25, 100)]).unwrap();
        writer.token(place(Phase::Prefill, 1, 0), &[routed(2, 0.6, 0), routed(3, 0.4, 100)]).unwrap();
        writer.token(place(Phase::Prefill, 1, 1), &[routed(9, 0.9, 90), routed(8, 0.1, 90)]).unwrap();
        writer.token(place(Phase::Decode, 0, 0), &[routed(2, 0.5, 0), routed(3, 0.5, 0)]).unwrap();
        writer.finish().unwrap();

        let text = std::str::from_utf8(&csv).unwrap();
        let expected = "# route_trace v1\n# model=a_b.gguf arch=gpt-oss n_layer=2 n_expert=32 n_expert_used=2\n\
            # layer=0 expert_bytes=100 dense_bytes=7\n# layer=1 expert_bytes=90 dense_bytes=8\n\
            turn,phase,step,layer,slot,expert,weight,residency,expert_bytes\n0,0,0,0,0,31,0.75,0,100\n";
        assert!(text.starts_with(expected), "{text}");
        let trace = Trace::parse(&csv).unwrap();
        assert_eq!((trace.model.as_str(), trace.n_experts, trace.n_used()), ("a_b.gguf", 32, 2));
        let choice = |expert, weight| Choice { expert, weight };
        let tokens = [
            Token { phase: Phase::Prefill, chosen: vec![choice(31, 0.75), choice(2, 0.25)] },
            Token { phase: Phase::Prefill, chosen: vec![choice(2, 0.6), choice(3, 0.4)] },
            Token { phase: Phase::Decode, chosen: vec![choice(2, 0.5), choice(3, 0.5)] },
        ];
        assert_eq!(trace.layers[&0], tokens);
        assert_eq!(trace.layers[&1].len(), 1);
    }

    #[test]
    fn what_is_no_trace_is_refused_in_words() {
        let row = |row: &str| format!("{ABOUT}{row}\n").into_bytes();
        let cases: [(Vec<u8>, &str); 11] = [
            (Vec::new(), "n_expert="),
            (b"turn,phase\n".to_vec(), "n_expert="),
            (b"# n_expert=many\n".to_vec(), "n_expert=many"),
            (b"# n_expert=4000000000\n".to_vec(), "1 to 65536"),
            (b"# n_expert=4\nturn,phase\n0,0\n".to_vec(), "line: 3"),
            (row("0,2,0,0,0,1,0.5"), "phase is 2"),
            (row("0,1,0,0,0,4,0.5"), "expert 4 is not below 4"),
            (row("0,1,0,4000000000,0,1,0.5"), "layer below"),
            (row("0,1,0,0,0,1,NaN"), "weight of expert 1"),
            (row("0,1,0,0,0,1,0.5\n0,1,0,0,1,1,0.5"), "chosen twice"),
            (row("0,1,0,0,0,\u{fe},0.5"), "cannot read"),
        ];
        for (bytes, words) in cases {
            let error = format!("{:#}", Trace::parse(&bytes).unwrap_err());
            assert!(error.contains(words), "{error:?} has no {words:?}");
        }
        assert!(Trace::parse(ABOUT.as_bytes()).unwrap().layers.is_empty());
    }

    #[test]
    fn the_same_step_of_the_next_turn_is_another_token() {
        let trace = Trace::parse(format!("{ABOUT}0,1,0,0,0,1,0.5\n1,1,0,0,0,1,0.5\n").as_bytes()).unwrap();
        assert_eq!(trace.layers[&0].len(), 2);
    }
}
