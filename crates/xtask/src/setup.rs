//! What the machine must have, installed only where it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{has, read, run, say};

const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A compiler that can build for wasm.
pub(crate) enum WasmToolchain {
    /// The toolchain in use has the target's standard library.
    Rustup,
    /// Debian's compiler for the web, which builds the standard library from source.
    Debian { linker: PathBuf },
}

/// Finds a compiler for wasm, or installs one.
///
/// # Errors
/// If there is none and none can be had.
pub(crate) fn wasm_toolchain() -> Result<WasmToolchain> {
    if has_rustup_target()? {
        return Ok(WasmToolchain::Rustup);
    }
    if missing(DEBIAN_WASM).is_none_or(|missing| !missing.is_empty()) {
        say(&format!("adding the {WASM_TARGET} target"));
        let added = has("rustup") && read(Command::new("rustup").args(["target", "add", WASM_TARGET])).is_ok();
        if added && has_rustup_target()? {
            return Ok(WasmToolchain::Rustup);
        }
        say("the target is not to be had from rustup; using Debian's compiler for the web");
        install(DEBIAN_WASM, "to build for wasm without the rustup target")?;
    }
    let linker = rust_lld()?;
    Ok(WasmToolchain::Debian { linker })
}

const DEBIAN_WASM: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

fn sysroot() -> Result<PathBuf> {
    Ok(read(Command::new("rustc").args(["--print", "sysroot"]))?.into())
}

fn has_rustup_target() -> Result<bool> {
    Ok(sysroot()?.join("lib/rustlib").join(WASM_TARGET).join("lib").is_dir())
}

/// The linker that every rustup toolchain carries.
fn rust_lld() -> Result<PathBuf> {
    let version = read(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    let lld = sysroot()?.join("lib/rustlib").join(host).join("bin/rust-lld");
    if !lld.is_file() {
        bail!("the toolchain has no linker for wasm: {} is missing", lld.display());
    }
    Ok(lld)
}

/// Node and npm, which are expected to be there.
///
/// # Errors
/// If they are not.
pub(crate) fn need_node() -> Result<()> {
    match ["node", "npm"].into_iter().find(|program| !has(program)) {
        Some(program) => bail!("{program} is missing; install Node.js 20 or newer"),
        None => Ok(()),
    }
}

/// The browsers to test in.
pub(crate) struct Browsers {
    pub(crate) chromium: PathBuf,
    pub(crate) firefox: PathBuf,
}

/// Finds both browsers and a software Vulkan, or installs them.
///
/// # Errors
/// If one is missing and cannot be had.
pub(crate) fn browsers() -> Result<Browsers> {
    let find = |names: &[&str]| names.iter().map(|name| Path::new("/usr/bin").join(name)).find(|path| path.is_file());
    let chromium = || find(&["chromium", "chromium-browser", "google-chrome"]);
    let firefox = || find(&["firefox-esr", "firefox"]);
    let mut wanted = Vec::new();
    if chromium().is_none() {
        wanted.push("chromium");
    }
    if firefox().is_none() {
        wanted.push("firefox-esr");
    }
    wanted.extend(["mesa-vulkan-drivers", "libvulkan1"]);
    install(&wanted, "to test in real browsers on a software adapter")?;
    Ok(Browsers {
        chromium: chromium().context("chromium was installed but is not in /usr/bin")?,
        firefox: firefox().context("firefox was installed but is not in /usr/bin")?,
    })
}

/// Those of `packages` that Debian does not have installed here; `None` where this is no Debian.
fn missing<'a>(packages: &[&'a str]) -> Option<Vec<&'a str>> {
    if !has("dpkg-query") || !has("apt-get") {
        return None;
    }
    let is_missing = |package: &&&str| {
        let query = ["-W", "-f", "${db:Status-Status}", package];
        read(Command::new("dpkg-query").args(query)).ok().as_deref() != Some("installed")
    };
    Some(packages.iter().filter(is_missing).copied().collect())
}

/// Installs the Debian packages that are missing; `why` ends the sentence that says so.
///
/// # Errors
/// If this is no Debian, or apt fails.
pub(crate) fn install(packages: &[&str], why: &str) -> Result<()> {
    let Some(missing) = missing(packages) else {
        bail!("this machine is not a Debian; install what these packages give, {why}: {}", packages.join(" "));
    };
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {} {why}", missing.join(", ")));
    let is_root = read(Command::new("id").arg("-u"))? == "0";
    let apt = || {
        let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
        if !is_root {
            command.arg("apt-get");
        }
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt().args(["update", "-q"]))?;
    run(apt().args(["install", "-y", "-q", "--no-install-recommends"]).args(&missing))
        .with_context(|| format!("cannot install {}", missing.join(" ")))
}
