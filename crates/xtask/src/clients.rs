//! OpenAI's own clients, from npm and from PyPI, and Vercel's AI SDK over one of them, against `quire serve`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{has, root, run, say, target};
use crate::test::{self, Tally};
use crate::{bundle, npm, setup};

const KEY: &str = "of-the-tests";

/// The suites under `tests/clients`.
///
/// # Errors
/// If a client cannot be installed or bundled, or the server cannot be built or started.
pub(crate) fn test() -> Result<Tally> {
    let folder = root().join("tests/clients");
    npm::install(&folder)?;
    let python = python(&folder.join("requirements.txt"))?;
    let ai_sdk = bundle::for_node(&[folder.join("ai-sdk.test.mjs")], &target().join("clients"))?;
    let model = parrot()?;
    let mut tally = Tally::default();
    // One client after the other: the servers have few places, as some of them check.
    for parallel in ["1", "4"] {
        let server = Server::start(&model, parallel)?;
        say(&format!("running the tests of the OpenAI clients, {parallel} at a time"));
        let client = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&folder).env("QUIRE_URL", &server.url).env("QUIRE_API_KEY", KEY);
            command
        };
        let node = || {
            let mut node = client(Path::new("node"));
            node.args(["--test", "--test-reporter=tap"]);
            node
        };
        tally += test::node_tests(node().arg("openai.test.mjs"))?;
        tally += test::node_tests(node().args(&ai_sdk))?;
        tally += unittest(client(&python).args(["-m", "unittest", "-v", "test_openai"]))?;
    }
    Ok(tally)
}

/// The model that speaks by a script.
///
/// # Errors
/// If what makes it cannot be built or fails.
pub(crate) fn parrot() -> Result<PathBuf> {
    // Programs as the Rust tests have built them: of a package alone they would be others.
    run(Command::new("cargo").args(["test", "-q", "--workspace", "--no-run"]).current_dir(root()))?;
    let model = target().join("parrot.gguf");
    run(Command::new(target().join("debug/parrot")).arg(&model))?;
    Ok(model)
}

/// A Python that has what `requirements` lists, set up once for each state of it.
fn python(requirements: &Path) -> Result<PathBuf> {
    let folder = target().join("clients-python");
    let (python, stamp) = (folder.join("bin/python"), folder.join("installed.txt"));
    let wanted = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    if !has("python3") || run(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        setup::install(&["python3", "python3-venv"], "to run OpenAI's Python client")?;
    }
    say("installing OpenAI's Python client");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]).arg(requirements))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

/// `quire serve` with the model that speaks by a script, until it is dropped.
struct Server {
    program: Child,
    url: String,
}

impl Server {
    fn start(model: &Path, parallel: &str) -> Result<Self> {
        let mut program = test::with_vulkan(target().join("debug/quire"))?
            .args(["serve", "--port", "0", "--queue", "2", "--api-key", KEY, "--parallel", parallel])
            .arg(model)
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run quire serve")?;
        let stderr = program.stderr.take().context("the server has no output")?;
        let mut server = Self { program, url: String::new() };
        let mut lines = BufReader::new(stderr).lines();
        for line in &mut lines {
            let line = line?;
            if let Some((_, address)) = line.split_once("at http://") {
                server.url = format!("http://{}", address.trim_end_matches("/v1"));
                break;
            }
            println!("{line}");
        }
        ensure!(!server.url.is_empty(), "quire serve did not say where it listens");
        // A pipe that is full would hold it up.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("{line}")));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What Python's unittest says at its end: `Ran 12 tests in 3.4s`, and `FAILED (failures=1, errors=2)` if so.
fn unittest(python: &mut Command) -> Result<Tally> {
    let mut python = python.stderr(Stdio::piped()).spawn().context("cannot run Python")?;
    let mut counts = Counts::default();
    for line in BufReader::new(python.stderr.take().context("Python has no output")?).lines() {
        let line = line?;
        println!("{line}");
        counts.read(&line);
    }
    let status = python.wait()?;
    match counts {
        Counts { ran: 0, .. } => bail!("Python ended with {status} and no test"),
        Counts { failed: 0, .. } if !status.success() => bail!("Python ended with {status}"),
        Counts { ran, failed, skipped } => Ok(Tally::counted(ran.saturating_sub(failed + skipped), failed, skipped)),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    ran: u32,
    failed: u32,
    skipped: u32,
}

impl Counts {
    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Ran ") {
            self.ran = rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
        let Some((_, results)) = line.split_once('(').filter(|(word, _)| matches!(*word, "OK " | "FAILED ")) else { return };
        for result in results.trim_end_matches(')').split(", ") {
            match result.split_once('=').map(|(what, n)| (what, n.parse().unwrap_or(0))) {
                Some(("failures" | "errors", n)) => self.failed += n,
                Some(("skipped", n)) => self.skipped += n,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_counts_are_read() {
        let mut counts = Counts::default();
        for line in ["test_a (x) ... ok", "Ran 12 tests in 3.412s", "FAILED (failures=1, errors=2, skipped=3)"] {
            counts.read(line);
        }
        assert_eq!(counts, Counts { ran: 12, failed: 3, skipped: 3 });
    }
}
