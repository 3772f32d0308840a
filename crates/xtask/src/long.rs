//! Tests that take too long to be run every time: what is said natively, and then by browsers with less GPU memory.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::cdn::Cdn;
use crate::models::{self, Location};
use crate::shell::{self, root, say, target};
use crate::test;

/// One of them.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Long {
    /// A model of gpt-oss-20b's widths in 4 layers, with half, a quarter and the fewest of its slots, too, 20 tokens: 3 GB of disk, ten minutes
    Widths,
    /// smollm2-moe with half and the fewest of its slots, 200 tokens, natively after a prompt of 600, too: an hour
    Slots,
    /// 200 answers of smollm2-moe at temperature 1 to 40 JSON schemas, each held against its own: a quarter of an hour
    Schemas,
    /// 32 clients at once for two minutes, of servers with one, four and eight places: seven minutes
    Crowd,
    /// A model of all of gpt-oss-20b's layers over HTTP, 4 GB of it on the GPU, natively to its first token: 17 GB of disk, five minutes
    FirstToken,
}

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
    bytes_fetched: u64,
    bytes_header: u64,
    bytes_dense: u64,
    bytes_per_expert: u64,
    experts_touched: u64,
}

/// True if the browsers say what is said natively with all experts on the GPU.
///
/// # Errors
/// If the model cannot be made or says nothing, if it says something else natively with fewer slots, or no browser can be run.
pub(crate) fn run(long: Long) -> Result<bool> {
    let (model, suite, most, fewer): (_, _, _, &[u32]) = match long {
        Long::Schemas => return schemas(),
        Long::Crowd => return crowd(),
        Long::FirstToken => return first_token().map(|()| true),
        Long::Widths => (wide(4)?, "a model of true widths", 20, &[16, 8, 5]),
        Long::Slots => (models::locate("smollm2-moe")?, "a long answer", 200, &[4, 3]),
    };
    let Location::File(path) = &model else { anyhow::bail!("{model:?} is not a file") };
    say("answering natively");
    let ids = answers(path, &["--prompt", PROMPT], most, fewer)?;
    if let Long::Slots = long {
        let text = std::fs::read_to_string(root().join("tests/vectors/smollm2/text.ids.txt"))?;
        let prompt: Vec<&str> = text.trim().split(',').take(600).collect();
        say("the same after a prompt of 600 tokens");
        answers(path, &["--tokens", &prompt.join(",")], most, fewer)?;
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
        let Said { ids, stats: Stats { slots: got, misses, passes, .. } } = answer(&["--slots", &slots.to_string()])?;
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

/// Has many clients ask for long.
fn crowd() -> Result<bool> {
    let test = ["test", "-q", "--workspace", "--test", "serve", "many_clients_at_once", "--", "--nocapture"];
    Ok(test::with_vulkan("cargo")?.args(test).env("QUIRE_CROWD_SECONDS", "120").current_dir(root()).status()?.success())
}

/// Opens a model of 24 layers as somebody would for the first time, and once more: says what it takes to the first token.
///
/// # Errors
/// If more than what that token needs is fetched, or anything at the second time.
fn first_token() -> Result<()> {
    let Location::File(path) = wide(24)? else { anyhow::bail!("the model is no file") };
    let (folder, name) = (path.parent().context("no folder")?, path.file_name().unwrap_or_default().to_string_lossy());
    let cdn = Cdn::start(folder)?;
    let url = format!("{}{name}", cdn.url());
    let kept = target().join("tmp/first-token");
    let _ = std::fs::remove_dir_all(&kept);
    shell::run(Command::new("cargo").args(["build", "-q", "--workspace", "--bin", "quire"]).current_dir(root()))?;
    for visit in ["first", "second"] {
        let began = Instant::now();
        let mut quire = test::with_vulkan(target().join("debug/quire"))?;
        let args = ["generate", "--json", "--prompt", PROMPT, "--max-tokens", "1", "--gpu-memory", "4000000000", &url];
        let (said, peak) = shell::read_and_weigh(quire.args(args).env("QUIRE_CACHE", &kept))?;
        let Said { stats, .. } = serde_json::from_str(&said)?;
        let needed = stats.bytes_header + stats.bytes_dense + stats.experts_touched * stats.bytes_per_expert;
        let most = if visit == "first" { needed + needed / 50 } else { 0 };
        let seconds = began.elapsed().as_secs_f64();
        let (fetched, slots) = (stats.bytes_fetched, stats.slots);
        let peak = peak.map_or("unknown".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
        say(&format!(
            "the {visit} visit: {seconds:.0} s to the first token, {fetched} bytes of {needed}, {slots} slots, {peak} of memory at most"
        ));
        ensure!(fetched <= most, "{fetched} bytes were fetched, {most} at most for {needed}");
    }
    Ok(std::fs::remove_dir_all(&kept)?)
}

/// A model of gpt-oss-20b's widths, made once: 3 GB with 4 layers, 12.1 with 24. Another name where `quire synth` makes other bytes.
fn wide(n_layers: u32) -> Result<Location> {
    std::fs::create_dir_all(models::folder())?;
    let name = format!("synth-gpt-oss-20b-{n_layers}-layers-2.gguf");
    let path = models::folder().join(&name);
    if !path.is_file() {
        say(&format!("making {name}"));
        quire(&["synth", "--like", "gpt-oss-20b", "--layers", &n_layers.to_string(), &path.to_string_lossy()])?;
    }
    Ok(Location::File(path))
}

/// What our own program prints.
fn quire(args: &[&str]) -> Result<String> {
    shell::read(test::with_vulkan("cargo")?.args(["run", "-q", "-p", "quire", "--"]).args(args).current_dir(root()))
}
