//! What these tests have in common.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tests::cdn::{Cdn, Files, Spec};
use tests::vector;

pub(crate) const GENERATE: [&str; 4] = ["--tokens", "1,2,3", "--json", "--ignore-eos"];

/// A directory of its own for what is kept, removed at the end.
pub(crate) struct Kept(pub(crate) PathBuf);

impl Kept {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cache-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quire"));
        command.args(args).env("QUIRE_CACHE", &self.0).env_remove("HF_TOKEN").env_remove("HF_ENDPOINT");
        command
    }

    pub(crate) fn quire(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Stdout of a run that must succeed.
    pub(crate) fn stdout(&self, args: &[&str]) -> String {
        let output = self.quire(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a run says that must fail.
    pub(crate) fn failure(&self, args: &[&str]) -> String {
        let output = self.quire(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The data of the only file that is kept.
    pub(crate) fn data(&self) -> PathBuf {
        std::fs::read_dir(&self.0).unwrap().next().unwrap().unwrap().path().join("data")
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.stdout(args)).unwrap()
    }

    pub(crate) fn generate(&self, url: &str, more: &[&str]) -> Value {
        self.json(&[&["generate", url, "--max-tokens", "4"], &GENERATE[..], more].concat())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn serve_nano() -> (Cdn, String) {
    let cdn = Cdn::start(Files::Below(vector("nano")), Spec::default(), 0).unwrap();
    let url = cdn.url("nano.gguf");
    (cdn, url)
}

pub(crate) fn nano() -> String {
    vector("nano/nano.gguf").display().to_string()
}
