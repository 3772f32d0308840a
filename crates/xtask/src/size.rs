//! A model of true widths in a browser: made here, answered natively, and then by the browser.

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;

use crate::models::{self, Location};
use crate::shell::{self, root, say};
use crate::test;

/// Made once, 3 GB.
const FILE: &str = "synth-gpt-oss-20b-4-layers.gguf";
const PROMPT: &str = "Once upon a time";
const MAX_TOKENS: &str = "20";

/// What `quire generate --json` prints, as far as it matters.
#[derive(Deserialize)]
struct Said {
    ids: Vec<u32>,
}

/// Holds what a browser says under a budget of GPU memory to what is said natively without one; true if it is the same.
///
/// # Errors
/// If the model cannot be made or says nothing, or no browser can be run.
pub(crate) fn run() -> Result<bool> {
    std::fs::create_dir_all(models::folder())?;
    let path = models::folder().join(FILE);
    let place = path.to_string_lossy();
    if !path.is_file() {
        say(&format!("making {FILE}"));
        quire(&["synth", "--like", "gpt-oss-20b", "--layers", "4", &place])?;
    }
    say("answering natively");
    let said: Said = serde_json::from_str(&quire(&["generate", "--json", "--prompt", PROMPT, "--max-tokens", MAX_TOKENS, &place])?)?;
    let native = json!({ "file": FILE, "prompt": PROMPT, "ids": said.ids }).to_string();
    test::browsers(&Location::File(path), "a model of true widths", &[("NATIVE", &native)]).map(|tally| tally.is_good())
}

/// What our own program prints.
fn quire(args: &[&str]) -> Result<String> {
    shell::read(test::with_vulkan("cargo")?.args(["run", "-q", "-p", "quire", "--"]).args(args).current_dir(root()))
}
