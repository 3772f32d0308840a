//! SHA-256 sums by file name, in the form that `sha256sum` writes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub(super) fn read(path: &Path) -> Result<HashMap<String, String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// A line is 64 hexadecimal digits, a space, a space or a star, and a name or path, whose last part counts.
fn parse(text: &str) -> Result<HashMap<String, String>> {
    let mut sums = HashMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let (sum, path) = line.split_once([' ', '\t']).with_context(|| format!("line {number} has no name"))?;
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        anyhow::ensure!(is_sum, "line {number} does not begin with a SHA-256");
        let name = path.trim().trim_start_matches('*').rsplit('/').next().unwrap_or_default();
        sums.insert(name.to_owned(), sum.to_ascii_lowercase());
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn lines_of_sha256sum_are_understood_and_others_refused() {
        let sum = "AB".repeat(32);
        let sums = parse(&format!("{sum}  a/b.gguf\n\n{sum} *c.gguf\n")).unwrap();
        assert_eq!((sums.len(), sums["b.gguf"].as_str(), sums["c.gguf"].as_str()), (2, &*"ab".repeat(32), &*"ab".repeat(32)));
        assert!(parse("abc  d.gguf").unwrap_err().to_string().contains("line 1"));
        assert!(parse(&format!("\n{sum}")).unwrap_err().to_string().contains("line 2"));
    }
}
