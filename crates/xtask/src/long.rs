//! Tests that take too long to be run every time: what is said natively, and then by browsers with less GPU memory.

use std::path::Path;

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
    /// smollm2-moe with half and the fewest of its slots, 200 tokens, and natively 20 after a prompt of 600: an hour
    Slots,
    /// 200 answers of smollm2-moe at temperature 1 to 40 JSON schemas, each held against its own: a quarter of an hour
    Schemas,
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
        Long::Schemas => return schemas(),
        Long::Widths => (wide()?, "a model of true widths", 20, &[16, 8, 5]),
        Long::Slots => (models::locate("smollm2-moe")?, "a long answer", 200, &[4, 3]),
    };
    let Location::File(path) = &model else { anyhow::bail!("{model:?} is not a file") };
    say("answering natively");
    let ids = answers(path, &["--prompt", PROMPT], most, fewer)?;
    if let Long::Slots = long {
        let text = std::fs::read_to_string(root().join("tests/vectors/smollm2/text.ids.txt"))?;
        let prompt: Vec<&str> = text.trim().split(',').take(600).collect();
        say("the same after a prompt of 600 tokens");
        answers(path, &["--tokens", &prompt.join(",")], 20, fewer)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let native = json!({ "file": name, "prompt": PROMPT, "ids": ids }).to_string();
    test::browsers(&model, suite, &[("NATIVE", &native)]).map(test::Tally::is_good)
}

/// The ids that a model says, at most so many: with all its slots, and with `fewer`.
///
/// # Errors
/// If it says something else with fewer, or goes through its layers too often.
fn answers(path: &Path, question: &[&str], most: u32, fewer: &[u32]) -> Result<Vec<u32>> {
    let (most, place) = (most.to_string(), path.to_string_lossy());
    let answer = |less: &[&str]| -> Result<Said> {
        let whole = ["generate", "--json", "--no-cache", "--ignore-eos", "--max-tokens", &most];
        Ok(serde_json::from_str(&quire(&[&whole, question, less, &[&place]].concat())?)?)
    };
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
    Ok(whole.ids)
}

/// Tries all schemas five times.
fn schemas() -> Result<bool> {
    models::locate("smollm2-moe")?;
    let mut cargo = test::with_vulkan("cargo")?;
    let test = ["test", "--release", "-q", "--workspace", "--test", "constrained", "a_real_model", "--", "--nocapture"];
    Ok(cargo.args(test).env("SCHEMA_TRIES", "5").current_dir(root()).status()?.success())
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
