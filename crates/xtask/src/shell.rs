//! Running other programs, and saying what is done.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where everything that is built or fetched goes.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// One line for the person who waits.
pub(crate) fn say(what: &str) {
    eprintln!("• {what}");
}

/// A program as it would be typed.
fn words(command: &Command) -> String {
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    let program = command.get_program().to_string_lossy();
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

/// Runs a program, its output going where ours goes.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let words = words(command);
    let status = command.status().with_context(|| format!("cannot run `{words}`"))?;
    if !status.success() {
        bail!("`{words}` failed: {status}");
    }
    Ok(())
}

/// Runs a program and gives what it printed; what it said on stderr is shown only if it fails.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let words = words(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{words}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{words}` failed: {}\n{}", output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// As [`read`], with the most memory that the program had at once, in bytes, where the system tells; what it says on stderr is shown.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub(crate) fn read_and_weigh(command: &mut Command) -> Result<(String, Option<u64>)> {
    let words = words(command);
    let program = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run `{words}`"))?;
    let status = format!("/proc/{}/status", program.id());
    let output = thread::spawn(|| program.wait_with_output());
    let mut peak = None;
    while !output.is_finished() {
        // Of one that has ended the system says nothing any more.
        peak = std::fs::read_to_string(&status).ok().and_then(|text| peak_bytes(&text)).or(peak);
        thread::sleep(Duration::from_millis(20));
    }
    let output = output.join().map_err(|_| anyhow::anyhow!("`{words}` cannot be waited for"))??;
    ensure!(output.status.success(), "`{words}` failed: {}", output.status);
    Ok((String::from_utf8_lossy(&output.stdout).trim().to_owned(), peak))
}

/// The most memory that a process had at once, as Linux tells it.
fn peak_bytes(status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kib.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Whether a program can be found by name.
pub(crate) fn has(program: &str) -> bool {
    find(program).is_some()
}

/// Where on the PATH `program` is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|file| file.is_file())
}
