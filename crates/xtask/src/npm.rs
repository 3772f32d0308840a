//! npm packages, installed from the lock file once for each state of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup::need_node;
use crate::shell::{run, say};

/// Makes `folder/node_modules` what `folder/package-lock.json` says.
///
/// # Errors
/// If node is missing, or npm fails.
pub(crate) fn install(folder: &Path) -> Result<()> {
    need_node()?;
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = folder.join("node_modules/.installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    say(&format!("installing npm packages in {}", folder.display()));
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// Installs a packed package into `folder`.
///
/// # Errors
/// If npm fails.
pub(crate) fn add(folder: &Path, tarball: &Path) -> Result<()> {
    run(Command::new("npm").args(["install", "--no-save", "--no-audit", "--no-fund", "--silent"]).arg(tarball).current_dir(folder))
}
