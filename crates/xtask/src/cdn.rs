//! The CDN simulator of the tests as a program beside the browsers.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::shell::{root, say};

/// Serves the files of a folder until it is dropped.
pub(crate) struct Cdn {
    program: Child,
    url: String,
}

impl Cdn {
    /// # Errors
    /// If it cannot be built or started.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        say("starting the CDN simulator");
        let mut program = Command::new("cargo")
            .args(["run", "-q", "-p", "tests", "--bin", "cdn", "--", "--root"])
            .arg(folder)
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo")?;
        let mut url = String::new();
        BufReader::new(program.stdout.take().context("the CDN simulator has no output")?).read_line(&mut url)?;
        let cdn = Self { program, url: url.trim().to_owned() };
        ensure!(cdn.url.starts_with("http"), "the CDN simulator says {:?} instead of its URL", cdn.url);
        Ok(cdn)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Cdn {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
