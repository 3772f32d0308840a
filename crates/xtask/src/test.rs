//! Every test there is: Rust, TypeScript, browsers; added up on the last line.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::{Add, AddAssign};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::cdn::Cdn;
use crate::models::{self, Location};
use crate::serve::{Server, Site};
use crate::shell::{has, root, say, target};
use crate::{bench, bundle, clients, npm, package, setup, wasm};

/// How many tests ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed, skipped: self.skipped + other.skipped }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Tally {
    /// Whether there were tests and none failed.
    pub(crate) fn is_good(self) -> bool {
        self.passed > 0 && self.failed == 0
    }

    pub(crate) fn counted(passed: u32, failed: u32, skipped: u32) -> Self {
        Self { passed, failed, skipped }
    }

    /// One check as a test.
    fn of(name: &str, done: Result<()>) -> Self {
        match done {
            Ok(()) => {
                println!("ok - {name}");
                Self { passed: 1, ..Self::default() }
            }
            Err(error) => {
                println!("not ok - {name}: {error:#}");
                Self { failed: 1, ..Self::default() }
            }
        }
    }
}

/// Runs all tests, whatever fails on the way; true if none failed.
///
/// # Errors
/// None of a test's own: those count as failures.
pub(crate) fn run() -> Result<bool> {
    let mut tally = Tally::of("there is a Vulkan to run shaders on", setup::vulkan());
    let models = ["smollm2", "smollm2-moe", "smollm2-moe-q8", "smollm2-moe-shards"];
    tally += timed("models", || Tally::of("the models for tests can be made", models::run(&models.map(str::to_owned))));
    // Side by side: long parts of both have work for one core alone.
    tally += thread::scope(|scope| {
        let web = scope.spawn(|| page() + browsing());
        let rust = timed("Rust", || rust().unwrap_or_else(|error| Tally::of("the Rust tests can be run", Err(error))));
        let clients = timed("OpenAI's clients", || {
            clients::test().unwrap_or_else(|error| Tally::of("the tests of OpenAI's clients can be run", Err(error)))
        });
        rust + clients + web.join().unwrap_or_else(|_| Tally::of("the page's tests end", Err(anyhow::anyhow!("they panicked"))))
    });
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    Ok(tally.failed == 0)
}

/// A measurement, then every suite in both browsers.
fn browsing() -> Tally {
    timed("browsers", || {
        let measured = Tally::of("a browser is measured with the fields of `quire bench`", bench::check());
        let browsers = models::locate(models::DEFAULT).and_then(|model| browsers(&model, "", &[]));
        measured + browsers.unwrap_or_else(|error| Tally::of("the browser tests can be run", Err(error)))
    })
}

/// The page, the package and their TypeScript, without a browser.
fn page() -> Tally {
    let mut tally = timed("building the page", || Tally::of("the page can be built and the wasm modules are small", is_small()));
    tally += timed("packaging", || Tally::of("the npm package installs, and its exports and types are there", package::check()));
    tally += timed("TypeScript", || {
        let mut tally = Tally::of("the TypeScript is well typed", bundle::check_types());
        tally += typescript().unwrap_or_else(|error| Tally::of("the TypeScript tests can be run", Err(error)));
        tally
    });
    tally
}

/// Does a part of the tests and says how long it took.
fn timed(part: &str, work: impl FnOnce() -> Tally) -> Tally {
    let begin = Instant::now();
    let tally = work();
    say(&format!("{part}: {:.0} s", begin.elapsed().as_secs_f64()));
    tally
}

fn is_small() -> Result<()> {
    let modules = bundle::build()?.join("wasm");
    wasm::MODULES.iter().try_for_each(|module| module.check_size(&modules))
}

/// A program whose children open Vulkan devices: its loader complains of each where there is no runtime folder.
pub(crate) fn with_vulkan(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(program);
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        let folder = target().join("runtime");
        fs::create_dir_all(&folder)?;
        command.env("XDG_RUNTIME_DIR", folder);
    }
    Ok(command)
}

/// `cargo test` over the workspace, shown as it runs.
fn rust() -> Result<Tally> {
    say("running the Rust tests");
    let mut cargo = with_vulkan("cargo")?;
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    // One test asks for this compiler, which no registry has; it counts as skipped where it is missing.
    if has("tint") {
        cargo.args(["--", "--include-ignored"]);
    }
    let mut cargo = cargo.current_dir(root()).stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let mut tally = Tally::default();
    for line in BufReader::new(cargo.stdout.take().context("cargo has no output")?).lines() {
        let line = line?;
        println!("{line}");
        tally += summary(&line).unwrap_or_default();
    }
    let status = cargo.wait()?;
    // What does not compile, or dies, leaves no summary behind.
    if !status.success() && tally.failed == 0 {
        tally += Tally::of("cargo test ends well", Err(anyhow::anyhow!("{status}")));
    }
    Ok(tally)
}

/// The counts of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn summary(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |word: &str| {
        let part = counts.split(';').find_map(|part| part.trim().strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

/// The tests under `web/test`, bundled and run by node.
fn typescript() -> Result<Tally> {
    let tests = bundle::tests()?;
    say("running the TypeScript tests");
    node_tests(Command::new("node").args(["--test", "--test-reporter=tap"]).args(tests))
}

/// What node's own test runner counts, with its TAP reporter.
pub(crate) fn node_tests(node: &mut Command) -> Result<Tally> {
    let mut node = node.stdout(Stdio::piped()).spawn().context("cannot run node")?;
    let mut tally = Tally::default();
    for line in BufReader::new(node.stdout.take().context("node has no output")?).lines() {
        let line = line?;
        println!("{line}");
        let count = |word: &str| line.strip_prefix(word).and_then(|n| n.parse().ok()).unwrap_or(0);
        tally += Tally { passed: count("# pass "), failed: count("# fail ") + count("# cancelled "), skipped: count("# skipped ") };
    }
    let status = node.wait()?;
    ensure!(status.success() || tally.failed > 0, "node ended with {status}");
    Ok(tally)
}

/// The suites under `tests/browser` whose names contain `words`, against a server of their own that offers `model`.
pub(crate) fn browsers(model: &Location, words: &str, environment: &[(&str, &str)]) -> Result<Tally> {
    let site = Site::new(bundle::build()?, model)?;
    let folder = root().join("tests/browser");
    npm::install(&folder)?;
    let browsers = setup::browsers()?;
    let server = Server::start(site, 0)?;
    // The browsers run side by side, and each tells its own how to misbehave.
    let vectors = root().join("tests/vectors");
    let cdns = [Cdn::start(&vectors)?, Cdn::start(&vectors)?];
    let parrot = clients::parrot()?;
    let screenshots = target().join("screenshots");
    fs::create_dir_all(&screenshots)?;
    say("running the browser tests");
    let mut node = with_vulkan("node")?
        .args(["run.mjs", words])
        .envs(environment.iter().copied())
        .current_dir(&folder)
        .env("QUIRE_URL", server.url())
        .env("CDN_URL", cdns.each_ref().map(Cdn::url).join(" "))
        .env("CHROMIUM", browsers.chromium)
        .env("FIREFOX", browsers.firefox)
        .env("SCREENSHOTS", screenshots)
        .env("PACKAGED", package::apps())
        .env("SITE", package::site())
        .env("PARROT", parrot)
        .env("QUIRE", target().join("debug/quire"))
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run node")?;
    let mut tally = None;
    for line in BufReader::new(node.stdout.take().context("node has no output")?).lines() {
        let line = line?;
        match serde_json::from_str(&line) {
            Ok(counts) => tally = Some(counts),
            Err(_) => println!("{line}"),
        }
    }
    let status = node.wait()?;
    tally.with_context(|| format!("the browser tests ended without a summary: {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        let line = "test result: FAILED. 25 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.22s";
        assert_eq!(summary(line), Some(Tally { passed: 25, failed: 1, skipped: 2 }));
        assert_eq!(summary("test result: soon"), None);
        assert_eq!(summary("running 3 tests"), None);
    }
}
