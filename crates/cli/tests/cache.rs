//! Models by URL, and what is kept of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so and stop")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tests::cdn::{Cdn, Files, Spec};
use tests::vector;

const GENERATE: [&str; 6] = ["--tokens", "1,2,3", "--max-tokens", "4", "--json", "--ignore-eos"];

/// A directory of its own for what is kept, removed at the end.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cache-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quire"));
        command.args(args).env("QUIRE_CACHE", &self.0).env_remove("HF_TOKEN").env_remove("HF_ENDPOINT");
        command
    }

    fn quire(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Stdout of a run that must succeed.
    fn stdout(&self, args: &[&str]) -> String {
        let output = self.quire(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.stdout(args)).unwrap()
    }

    fn generate(&self, url: &str, more: &[&str]) -> Value {
        self.json(&[&["generate", url], &GENERATE[..], more].concat())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn serve_nano() -> (Cdn, String) {
    let cdn = Cdn::start(Files::Below(vector("nano")), Spec::default(), 0).unwrap();
    let url = cdn.url("nano.gguf");
    (cdn, url)
}

fn nano() -> String {
    vector("nano/nano.gguf").display().to_string()
}

#[test]
fn the_second_run_fetches_no_byte_and_needs_no_network() {
    let kept = Kept::new("second");
    let (cdn, url) = serve_nano();
    let near = kept.generate(&nano(), &[]);
    let first = kept.generate(&url, &[]);
    assert_eq!(first["ids"], near["ids"]);
    let size = std::fs::metadata(nano()).unwrap().len();
    let fetched = first["stats"]["bytes_fetched"].as_u64().unwrap();
    assert!(fetched > 0 && fetched <= size, "{fetched} of {size}");
    // The size is asked with the first byte.
    assert!(cdn.counts().bytes <= fetched + 1);
    drop(cdn);
    let second = kept.generate(&url, &[]);
    assert_eq!((&second["ids"], second["stats"]["bytes_fetched"].as_u64()), (&first["ids"], Some(0)));
    assert!(kept.stdout(&["inspect", &url]).contains("gpt-oss"));
}

#[test]
fn without_a_cache_nothing_is_kept_or_used_and_a_directory_may_be_named() {
    let kept = Kept::new("none");
    let elsewhere = Kept::new("elsewhere");
    let (cdn, url) = serve_nano();
    for _ in 0..2 {
        let got = kept.generate(&url, &["--no-cache"]);
        assert!(got["stats"]["bytes_fetched"].as_u64().unwrap() > 0);
    }
    assert!(!kept.0.exists());
    let dir = elsewhere.0.to_str().unwrap();
    kept.generate(&url, &["--cache", dir]);
    assert!(!kept.0.exists());
    cdn.reset_counts();
    kept.generate(&url, &["--cache", dir]);
    assert_eq!(cdn.counts().requests, 0);
    assert_eq!(kept.quire(&["inspect", &url, "--no-cache", "--cache", dir]).status.code(), Some(2));
}

#[test]
fn two_runs_at_once_share_what_they_fetch() {
    let kept = Kept::new("two");
    let bytes = std::fs::read(nano()).unwrap();
    let size = bytes.len() as u64;
    // Slow enough that the second begins while the first fetches.
    let cdn = Cdn::start(Files::one("nano.gguf", bytes), Spec { bytes_per_second: Some(400_000), ..Spec::default() }, 0).unwrap();
    let url = cdn.url("nano.gguf");
    let start = || kept.command(&[&["generate", &url], &GENERATE[..]].concat()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let (first, second) = (start(), start());
    let ids = [first, second].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["ids"].clone()
    });
    assert_eq!(ids[0], ids[1]);
    // Each asks for the size with the first byte.
    assert!(cdn.counts().bytes <= size + 2, "{} of {size}", cdn.counts().bytes);
}

#[test]
fn a_url_is_read_by_range_and_inspect_reads_its_header_alone() {
    let kept = Kept::new("inspect");
    // More data than the first prefix that is asked for.
    let mut bytes = std::fs::read(nano()).unwrap();
    bytes.resize(bytes.len() + (8 << 20), 0);
    let cdn = Cdn::start(Files::one("nano.gguf", bytes), Spec::default(), 0).unwrap();
    let url = cdn.url("nano.gguf");
    let report = kept.json(&["inspect", &url, "--json"]);
    assert_eq!(report["files"][0]["location"], url.as_str());
    assert!(cdn.counts().bytes < 2 << 20);
}

#[test]
fn a_token_goes_to_the_hub_alone_and_is_never_shown() {
    let kept = Kept::new("token");
    // The hub redirects to another host, and from there the bytes come.
    let (cdn, _) = serve_nano();
    let hub = Cdn::start(Files::Below(vector("nano")), Spec { moved: Some(cdn.url("")), ..Spec::default() }, 0).unwrap();
    let url = hub.url("nano.gguf");
    let run = |url: &str, endpoint: &str| {
        let args = ["-vv", "inspect", url, "--no-cache"];
        kept.command(&args).env("HF_TOKEN", "hf_secret").env("HF_ENDPOINT", endpoint).output().unwrap()
    };
    let output = run(&url, &hub.url(""));
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success() && !output.stderr.is_empty());
    assert!(!String::from_utf8_lossy(&said).contains("hf_secret"));
    let sent = hub.counts().authorizations;
    assert!(!sent.is_empty() && sent.iter().all(|(path, value)| path == "/nano.gguf" && value == "Bearer hf_secret"), "{sent:?}");
    assert!(cdn.counts().requests > 0 && cdn.counts().authorizations.is_empty());
    // Of another host it is none of its business.
    cdn.reset_counts();
    assert!(run(&cdn.url("nano.gguf"), &hub.url("")).status.success());
    assert!(cdn.counts().authorizations.is_empty());
    // Nor does an error show it.
    let output = run(&hub.url("missing.gguf"), &hub.url(""));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("missing.gguf") && !said.contains("hf_secret"), "{said}");
}
