//! What the machine must have, installed only where it is missing.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{find, has, read, run, say};

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

/// Whether rustup's toolchain has the standard library for wasm, compiled.
///
/// # Errors
/// If there is no rustc.
pub(crate) fn has_rustup_target() -> Result<bool> {
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

/// Finds both browsers, by `CHROMIUM` and `FIREFOX` or on the PATH, or installs them.
///
/// # Errors
/// If one is missing and cannot be had.
pub(crate) fn browsers() -> Result<Browsers> {
    let chromium = || browser("CHROMIUM", &["chromium", "chromium-browser", "google-chrome"]);
    let firefox = || browser("FIREFOX", &["firefox-esr", "firefox"]);
    let found = [("chromium", chromium()), ("firefox-esr", firefox())];
    let wanted: Vec<&str> = found.iter().filter(|(_, path)| path.is_none()).map(|(package, _)| *package).collect();
    if !wanted.is_empty() {
        install(&wanted, "to test in real browsers")?;
    }
    Ok(Browsers {
        chromium: chromium().context("chromium is not on the PATH, and CHROMIUM does not name it")?,
        firefox: firefox().context("firefox is not on the PATH, and FIREFOX does not name it")?,
    })
}

/// The program that the environment's `variable` names, or the first of `names` on the PATH.
fn browser(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|file| file.is_file());
    named.or_else(|| names.iter().find_map(|name| find(name)))
}

/// Sees to a Vulkan loader and a driver, if only a software one. Other systems have a graphics interface of their own.
///
/// # Errors
/// If there is none and none can be had.
pub(crate) fn vulkan() -> Result<()> {
    let has_driver = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|variable| std::env::var_os(variable).is_some())
        || ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
            .iter()
            .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()));
    let has_loader = ["ldconfig", "/sbin/ldconfig"]
        .iter()
        .any(|ldconfig| read(Command::new(ldconfig).arg("-p")).is_ok_and(|libraries| libraries.contains("libvulkan.so.1")));
    if !cfg!(target_os = "linux") || (has_driver && has_loader) {
        return Ok(());
    }
    install(&["mesa-vulkan-drivers", "libvulkan1"], "to run shaders on a software adapter")
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
