//! What `quire bench MODEL` finds, natively or in a browser.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Row;

/// What is measured of a model.
#[derive(Clone, Copy, Debug, Serialize, clap::Args)]
pub struct Size {
    /// Prompt tokens
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..))]
    pub prefill: u32,
    /// Tokens to generate
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u32).range(2..))]
    pub decode: u32,
    /// Measurements, of which the median is taken
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
}

/// How fast a model is, and what a token costs. `tests/browser/bench.mjs` gives the same fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// As of [`Row::date`].
    pub date: String,
    /// As of [`Row::platform`].
    pub platform: String,
    pub adapter: String,
    pub model: String,
    /// Of which the times are medians.
    pub runs: u32,
    pub prefill_tokens: u32,
    pub decode_tokens: u32,
    /// Tokens a second of the prompt.
    pub prefill_tps: f64,
    /// Tokens a second after the first.
    pub decode_tps: f64,
    pub first_token_ms: f64,
    /// Runs over the layers, or over some of them after a miss, for a token.
    pub passes: f64,
    /// For one decoded token, by how much longer answers take more; so are the four that follow.
    pub dispatches: f64,
    pub bind_groups: f64,
    /// By the host, to the GPU.
    pub bytes_written: f64,
    /// By the host, from the GPU.
    pub bytes_read: f64,
    pub readbacks: f64,
    /// Experts that were not on the GPU when they were wanted, of a prompt and its answer; fetching them is in the rates.
    pub misses: f64,
    /// For experts on the GPU, a layer.
    pub slots: u32,
    pub gpu_bytes: u64,
}

impl Report {
    pub fn rows(&self, conditions: &str) -> Vec<Row> {
        let (prompt, answer) = ((0, Some(self.prefill_tokens)), (self.prefill_tokens, Some(self.decode_tokens)));
        let numbers = [
            ("prefill", self.prefill_tps, "tok/s", prompt),
            ("first token", self.first_token_ms, "ms", prompt),
            ("decode", self.decode_tps, "tok/s", answer),
            ("passes", self.passes, "a token", answer),
            ("dispatches", self.dispatches, "a token", answer),
            ("bind groups", self.bind_groups, "a token", answer),
            ("bytes written", self.bytes_written, "B a token", answer),
            ("bytes read", self.bytes_read, "B a token", answer),
            ("readbacks", self.readbacks, "a token", answer),
            ("misses", self.misses, "a run", answer),
            ("GPU memory", self.gpu_bytes as f64, "B", (0, None)),
        ];
        let conditions = [format!("median of {}", self.runs), conditions.to_owned()];
        let conditions = conditions.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let row = |(measure, value, unit, (context, tokens)): (&str, f64, &str, _)| Row {
            date: self.date.clone(),
            platform: self.platform.clone(),
            adapter: self.adapter.clone(),
            model: self.model.clone(),
            measure: measure.to_owned(),
            slots: Some(self.slots),
            context: Some(context),
            tokens,
            value,
            unit: unit.to_owned(),
            conditions: conditions.clone(),
            ..Row::default()
        };
        numbers.map(row).to_vec()
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { platform, adapter, model, runs, prefill_tokens, decode_tokens, slots, misses, .. } = self;
        let Self { passes, dispatches, bind_groups, bytes_written, bytes_read, readbacks, .. } = self;
        writeln!(f, "{model} on {adapter}, {platform}, medians of {runs}")?;
        writeln!(f, "  prefill  {:.2} tok/s over {prefill_tokens} tokens", self.prefill_tps)?;
        writeln!(f, "           first token after {:.0} ms", self.first_token_ms)?;
        writeln!(f, "  decode   {:.2} tok/s over {decode_tokens} tokens", self.decode_tps)?;
        writeln!(f, "  a token  {passes:.2} passes, {dispatches:.0} dispatches, {bind_groups:.0} bind groups")?;
        writeln!(f, "           {bytes_written:.0} B written, {bytes_read:.0} B read in {readbacks:.2} readbacks")?;
        writeln!(f, "  experts  {slots} slots a layer, {misses} missed in a run")?;
        writeln!(f, "  memory   {:.1} MB on the GPU", self.gpu_bytes as f64 / 1e6)
    }
}
