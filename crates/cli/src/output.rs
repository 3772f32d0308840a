//! What goes to stdout, and numbers for people.

use std::io::{self, Read, Write};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// One JSON value and a line's end.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).context("cannot write JSON")?;
    bytes(format!("{text}\n").as_bytes())
}

/// Bytes at once, not when a line is full: answers stream.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("cannot write to stdout")
}

/// Whether `error` is that the reader of stdout has gone.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// All of stdin, which must be UTF-8.
pub(crate) fn stdin() -> Result<String> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).context("cannot read stdin")?;
    String::from_utf8(bytes).map_err(|error| anyhow::anyhow!("stdin is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}

/// Bytes done of `total`, their rate and the time left, on stderr; nothing is drawn where that is no terminal.
pub(crate) fn progress(what: String, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what);
    let template = "{msg} [{wide_bar}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
    // A broken template would leave the default style.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Bytes as a person would say them, three digits: 12.1 GB.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `count` things in `seconds`, a second; `None` where nothing was measured.
pub(crate) fn per_second(count: usize, seconds: f64) -> Option<f64> {
    (count > 0 && seconds > 0.0).then(|| count as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_to_three_digits() {
        let sizes = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (458_496, "458 kB"), (999_499, "999 kB"), (999_500, "1.0 MB")];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(size(12_096_558_336), "12.1 GB");
        assert_eq!(size(u64::MAX), "18446744 TB");
    }

    #[test]
    fn nothing_measured_is_no_speed() {
        assert_eq!(per_second(0, 1.0), None);
        assert_eq!(per_second(3, 0.0), None);
        assert_eq!(per_second(3, 2.0), Some(1.5));
    }
}
