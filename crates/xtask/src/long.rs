//! Tests that take too long to be run every time: what is said natively, and then by browsers with less GPU memory.

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::models::{self, Location};
use crate::shell::{self, root, say};
use crate::test;

/// One of them.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Long {
    /// A model of gpt-oss-20b's widths in 4 layers, with half, a quarter and the fewest of its slots, too, 20 tokens: 3 GB of disk, half an hour
    Widths,
    /// smollm2-moe with half and the fewest of its slots, 200 tokens: an hour
    Slots,
}

/// Made once, 3 GB; another name where `quire synth` makes other bytes.
const WIDE: &str = "synth-gpt-oss-20b-4-layers-2.gguf";
/// Passes a token, on average.
const MOST_PASSES: f64 = 3.0;
const PROMPT: &str = "Once upon a time";

/// What `quire generate --json` prints, as far as it matters.
#[derive(Deserialize)]
struct Said {
    ids: Vec<u32>,
    stats: Stats,
}

#[derive(Deserialize)]
struct Stats {
    slots: u32,
    misses: u64,
    passes: u64,
}

/// True if the browsers say what is said natively with all experts on the GPU.
///
/// # Errors
/// If the model cannot be made or says nothing, if it says something else natively with fewer slots, or no browser can be run.
pub(crate) fn run(long: Long) -> Result<bool> {
    let (model, suite, most, fewer): (_, _, _, &[u32]) = match long {
        Long::Widths => (wide()?, "a model of true widths", 20, &[16, 8, 5]),
        Long::Slots => (models::locate("smollm2-moe")?, "a long answer", 200, &[4, 3]),
    };
    let Location::File(path) = &model else { anyhow::bail!("{model:?} is not a file") };
    let place = path.to_string_lossy();
    let answer = |less: &[&str]| -> Result<Said> {
        let most = most.to_string();
        let whole = ["generate", "--json", "--no-cache", "--prompt", PROMPT, "--max-tokens", &most];
        Ok(serde_json::from_str(&quire(&[&whole, less, &[&place]].concat())?)?)
    };
    say("answering natively");
    let whole = answer(&[])?;
    for &slots in fewer {
        let Said { ids, stats: Stats { slots: got, misses, passes } } = answer(&["--slots", &slots.to_string()])?;
        let n = ids.len();
        ensure!(ids == whole.ids, "with {slots} slots it says {ids:?} instead of {:?}", whole.ids);
        ensure!(got == slots && misses > 0, "{got} slots and {misses} misses where {slots} slots were asked for");
        let passes = passes as f64 / n as f64;
        say(&format!("{n} tokens with {slots} slots: {misses} misses, {passes:.2} passes a token"));
        ensure!(passes <= MOST_PASSES, "{passes:.2} passes a token are more than {MOST_PASSES}");
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let native = json!({ "file": name, "prompt": PROMPT, "ids": whole.ids }).to_string();
    test::browsers(&model, suite, &[("NATIVE", &native)]).map(test::Tally::is_good)
}

fn wide() -> Result<Location> {
    std::fs::create_dir_all(models::folder())?;
    let path = models::folder().join(WIDE);
    if !path.is_file() {
        say(&format!("making {WIDE}"));
        quire(&["synth", "--like", "gpt-oss-20b", "--layers", "4", &path.to_string_lossy()])?;
    }
    Ok(Location::File(path))
}

/// What our own program prints.
fn quire(args: &[&str]) -> Result<String> {
    shell::read(test::with_vulkan("cargo")?.args(["run", "-q", "-p", "quire", "--"]).args(args).current_dir(root()))
}
