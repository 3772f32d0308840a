//! What was measured, as `quire bench` and `cargo xtask bench` print it and `tests/bench` keeps it: one schema for all of it.

mod compare;
mod report;
mod sheet;

pub use compare::{Comparison, Pair, Refusal, compare};
pub use report::{Report, Size};
pub use sheet::{Error, Sheet, read};

use serde::{Deserialize, Serialize};

/// One number, and all that must be known to hold it against another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// In UTC, as 2026-11-30; empty where it was not noted.
    pub date: String,
    /// `native`, or a browser with its version.
    pub platform: String,
    pub adapter: String,
    pub model: String,
    pub measure: String,
    /// Of a kernel that has two shapes, the one that ran: `narrow` or `wide`.
    pub variant: String,
    /// Of experts on the GPU, a layer.
    pub slots: Option<u32>,
    /// Positions before those that were measured.
    pub context: Option<u32>,
    /// That were measured: of a prompt, of an answer, or of a step.
    pub tokens: Option<u32>,
    #[serde(serialize_with = "five_digits")]
    pub value: f64,
    pub unit: String,
    /// Whatever else matters: build, rounds, what else ran.
    pub conditions: String,
}

/// Whole numbers stay whole; of others no measurement is worth more digits.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn five_digits<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let is_whole = *value == value.trunc() && value.abs() < 1e15;
    let text = if is_whole { format!("{value:.0}") } else { format!("{}", format!("{value:.4e}").parse().unwrap_or(*value)) };
    serializer.serialize_str(&text)
}

/// The middle one, NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// In UTC.
pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}
