//! The wasm modules: compiled, bound to JavaScript, made small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::npm;
use crate::setup::{WasmToolchain, has_rustup_target, wasm_toolchain};
use crate::shell::{read, root, run, say, target};

/// A module of the package.
pub(crate) struct Module {
    package: &'static str,
    /// What cargo calls the module.
    library: &'static str,
    /// What it is called in JavaScript.
    name: &'static str,
    /// It may weigh this much, in bytes.
    most: Size,
}

/// The engine, and what only those fetch whose answers must be of a form.
pub(crate) const MODULES: [Module; 2] = [
    Module { package: "quire-web", library: "quire_web", name: "quire_web", most: Size { raw: 2_130_000, brotli: 650_000 } },
    Module { package: "grammar", library: "grammar", name: "quire_grammar", most: Size { raw: 1_300_000, brotli: 400_000 } },
];

/// What the standard library weighs more as rustup brings it, compiled for speed, than where it is built with the module.
const COMPILED_STD: Size = Size { raw: 60_000, brotli: 14_000 };

impl Module {
    fn file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}_bg.wasm", self.name))
    }

    /// # Errors
    /// If the module in `folder` is larger than it may be.
    pub(crate) fn check_size(&self, folder: &Path) -> Result<()> {
        let size = Size::of(&self.file(folder))?;
        let std = if has_rustup_target()? { COMPILED_STD } else { Size { raw: 0, brotli: 0 } };
        let most = Size { raw: self.most.raw + std.raw, brotli: self.most.brotli + std.brotli };
        ensure!(
            size.raw <= most.raw && size.brotli <= most.brotli,
            "{}: {} bytes, {} with brotli; at most {} and {}",
            self.name,
            size.raw,
            size.brotli,
            most.raw,
            most.brotli
        );
        Ok(())
    }

    /// Binds what was compiled, unless `out` has that already.
    fn bind(&self, compiled: &Path, out: &Path) -> Result<()> {
        let compiled = compiled.join(format!("{}.wasm", self.library));
        let bytes = fs::read(&compiled).with_context(|| format!("cannot read {}", compiled.display()))?;
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let stamp = out.join(format!("{}-built-from", self.name));
        let module = self.file(out);
        if module.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == digest) {
            return Ok(());
        }
        fs::create_dir_all(out)?;
        say(&format!("binding {} to JavaScript", self.name));
        Bindgen::new().input_bytes(self.name, bytes).web(true)?.typescript(true).generate(out).context("wasm-bindgen failed")?;
        hide(&module)?;
        shrink(&module)?;
        fs::write(stamp, digest)?;
        Ok(())
    }
}

/// Builds the modules into `out`; does only what their sources' changes ask for.
///
/// # Errors
/// If a tool is missing or fails.
pub(crate) fn build(out: &Path) -> Result<()> {
    npm::install(&root().join("web"))?;
    let compiled = compile()?;
    MODULES.iter().try_for_each(|module| module.bind(&compiled, out))
}

/// Says in which folder the modules are.
fn compile() -> Result<PathBuf> {
    let toolchain = wasm_toolchain()?;
    say("compiling for wasm");
    let folder = target().join("wasm");
    let mut cargo = match &toolchain {
        WasmToolchain::Rustup => Command::new("cargo"),
        WasmToolchain::Debian { linker } => {
            let mut cargo = Command::new("/usr/bin/cargo");
            cargo
                .env("RUSTC", "/usr/bin/rustc")
                // build-std is unstable in name only here: the sources are those of this very compiler.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .args(["-Z", "build-std=std,panic_abort"]);
            cargo
        }
    };
    // What the cargo that runs xtask tells its children is about the other toolchain.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER", "RUSTDOC"] {
        cargo.env_remove(name);
    }
    run(cargo
        .args(["build", "--profile", "wasm"])
        .args(MODULES.iter().flat_map(|module| ["--package", module.package]))
        .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(&folder)
        .current_dir(root()))?;
    Ok(folder.join("wasm32-unknown-unknown/wasm"))
}

/// Takes the names away that a dependency exports for C, and with them what only they reach.
fn hide(module: &Path) -> Result<()> {
    let mut wasm = walrus::Module::from_file(module)?;
    let foreign: Vec<_> = wasm.exports.iter().filter(|export| export.name.starts_with("llg_")).map(|export| export.id()).collect();
    foreign.into_iter().for_each(|export| wasm.exports.delete(export));
    walrus::passes::gc::run(&mut wasm);
    wasm.emit_wasm_file(module)
}

fn shrink(module: &Path) -> Result<()> {
    say("making it small");
    let before = fs::metadata(module)?.len();
    run(Command::new(root().join("web/node_modules/.bin/wasm-opt"))
        .args(["-Oz", "--strip-debug", "--strip-producers"])
        .args([
            "--enable-bulk-memory",
            "--enable-multivalue",
            "--enable-mutable-globals",
            "--enable-nontrapping-float-to-int",
            "--enable-reference-types",
            "--enable-sign-ext",
        ])
        .arg(module)
        .arg("-o")
        .arg(module))?;
    let size = Size::of(module)?;
    say(&format!("wasm: {before} bytes compiled, {} optimised, {} with brotli", size.raw, size.brotli));
    Ok(())
}

/// What a file weighs on disk and on the wire, in bytes.
pub(crate) struct Size {
    pub(crate) raw: u64,
    pub(crate) brotli: u64,
}

impl Size {
    /// # Errors
    /// If the file cannot be read or node fails.
    pub(crate) fn of(file: &Path) -> Result<Self> {
        let script = "const b = require('fs').readFileSync(process.argv[1]); \
                      console.log(require('zlib').brotliCompressSync(b).length)";
        let brotli = read(Command::new("node").args(["-e", script]).arg(file))?;
        Ok(Self { raw: fs::metadata(file)?.len(), brotli: brotli.parse().context("node did not print a size")? })
    }
}
