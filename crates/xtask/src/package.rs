//! What others get: the page as a static site and as a part of `quire serve`, and the npm package `quire`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{read, root, run, say, target};
use crate::{bundle, npm};

/// The npm package may weigh this much packed, in bytes.
const MAX_TARBALL: u64 = 1_500_000;
/// And what a page loads of it before it starts a worker, not compressed.
const MAX_SCRIPT: u64 = 16_000;

/// What `web/package.json` exports, from the built page to `web/dist`.
const PARTS: [&str; 14] = [
    "index.js",
    "index.js.map",
    "worker.js",
    "worker.js.map",
    "service-worker.js",
    "service-worker.js.map",
    "ai-sdk.js",
    "ai-sdk.js.map",
    "wasm/quire_web.js",
    "wasm/quire_web_bg.wasm",
    "wasm/grammar.js",
    "wasm/grammar.js.map",
    "wasm/quire_grammar.js",
    "wasm/quire_grammar_bg.wasm",
];

/// Makes `dist/site` and `dist/quire-VERSION.tgz`, and says where the latter is.
///
/// # Errors
/// If the page cannot be built, a tool fails, or the package is too large.
pub(crate) fn build() -> Result<PathBuf> {
    let page = bundle::build()?;
    let out = root().join("dist");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let files = bundle::files(&page)?;
    copy(&page, &site(), &files)?;
    leave_for_the_server(&page, &files)?;

    let web = root().join("web");
    let dist = web.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    copy(&page, &dist, &PARTS.map(PathBuf::from))?;
    copy(&root(), &dist, &["LICENSE-MIT", "LICENSE-APACHE"].map(PathBuf::from))?;
    for project in ["tsconfig.package.json", "tsconfig.service-worker.json"] {
        let declare = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--rootDir", "src", "--outDir", "dist"];
        run(Command::new(web.join("node_modules/.bin/tsc")).args(["-p", project]).args(declare).current_dir(&web))?;
    }
    fs::write(web.join("README.md"), readme()?)?;
    let name = read(Command::new("npm").args(["pack", "--silent", "--pack-destination"]).arg(&out).current_dir(&web))?;
    let tarball = out.join(name);
    let bytes = within(&tarball, MAX_TARBALL)?;
    within(&dist.join("index.js"), MAX_SCRIPT)?;
    say(&format!("{}: {bytes} bytes; the site is in {}", tarball.display(), site().display()));
    Ok(tarball)
}

/// What the repository's README says of JavaScript.
fn readme() -> Result<String> {
    let all = fs::read_to_string(root().join("README.md"))?;
    let part = all.split("\n## ").find_map(|part| part.strip_prefix("In JavaScript\n"));
    let part = part.context("README.md says nothing \"In JavaScript\"")?;
    Ok(format!("# Quire\n\nGPT-OSS in a browser tab: mixture-of-experts models from plain GGUF files on WebGPU.\n\n{part}"))
}

/// Puts what the page needs where a server answers into `crates/cli/page`, with which `quire` is built from now on.
fn leave_for_the_server(page: &Path, files: &[PathBuf]) -> Result<()> {
    let folder = root().join("crates/cli/page");
    let is_engine = |file: &Path| {
        let name = file.to_string_lossy();
        file.starts_with("wasm") || ["index.js", "worker.js", "service-worker.js", "ai-sdk.js", "sw.js", "catalogue.json"].contains(&&*name)
    };
    let wanted: Vec<PathBuf> = files.iter().filter(|file| !is_engine(file)).cloned().collect();
    // What is there already stays as old as it is, lest cargo builds for nothing.
    for file in bundle::files(&folder)?.iter().filter(|file| !wanted.contains(file)) {
        fs::remove_file(folder.join(file))?;
    }
    let is_new = |file: &&PathBuf| fs::read(page.join(file)).ok() != fs::read(folder.join(file)).ok();
    copy(page, &folder, &wanted.iter().filter(is_new).cloned().collect::<Vec<_>>())
}

/// The size of a file, unless it is more than `most` bytes.
fn within(file: &Path, most: u64) -> Result<u64> {
    let bytes = fs::metadata(file)?.len();
    ensure!(bytes <= most, "{} has {bytes} bytes, at most {most} are allowed", file.display());
    Ok(bytes)
}

/// Copies `files` from one folder to another, which is made.
fn copy(from: &Path, to: &Path, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let (source, copy) = (from.join(file), to.join(file));
        fs::create_dir_all(copy.parent().unwrap_or(to))?;
        fs::copy(&source, &copy).with_context(|| format!("cannot copy {}", source.display()))?;
    }
    Ok(())
}

/// The static site.
pub(crate) fn site() -> PathBuf {
    root().join("dist/site")
}

/// Where [`check`] leaves the pages that it builds with the package.
pub(crate) fn apps() -> PathBuf {
    target().join("apps")
}

/// Looks the package over, and installs it into a project of its own, as someone who uses it would: types check, every export is
/// there, and bundlers make pages of it, which the browser tests open.
///
/// # Errors
/// If any of that fails.
pub(crate) fn check() -> Result<()> {
    let tarball = build()?;
    let tools = root().join("web/node_modules/.bin");
    run(Command::new(tools.join("publint")).args(["run", "--strict"]).arg(&tarball))?;
    run(Command::new(tools.join("attw")).args(["--profile", "esm-only", "--format", "ascii", "--no-emoji"]).arg(&tarball))?;

    let source = root().join("web/test/package");
    let user = target().join("package-user");
    copy(
        &source,
        &user,
        &["package.json", "package-lock.json", "use.ts", "build.mjs", "app/index.html", "app/main.js"].map(PathBuf::from),
    )?;
    npm::install(&user)?;
    npm::add(&user, &tarball)?;
    run(Command::new("node").arg("build.mjs").arg(apps()).arg(root().join("web/examples")).current_dir(&user))?;
    install_example(&tarball)?;
    let script = "import { accessSync } from 'node:fs'; import { fileURLToPath } from 'node:url'; \
                  for (const name of process.argv.slice(1)) accessSync(fileURLToPath(import.meta.resolve(name)));";
    run(Command::new("node")
        .args(["--input-type=module", "-e", script, "--"])
        .args(["quire", "quire/worker", "quire/service-worker", "quire/ai-sdk", "quire/quire_web_bg.wasm", "quire/quire_grammar_bg.wasm"])
        .arg("quire/package.json")
        .current_dir(&user))?;
    for (module, resolution) in [("esnext", "bundler"), ("nodenext", "nodenext")] {
        // Written out: an empty list of types cannot be said on every shell's command line.
        let config = serde_json::json!({
            "compilerOptions": {
                "noEmit": true,
                "strict": true,
                "target": "es2022",
                "lib": ["es2022", "esnext.disposable", "dom", "dom.asynciterable"],
                "types": [],
                "module": module,
                "moduleResolution": resolution,
            },
            "files": ["use.ts"],
        });
        fs::write(user.join("tsconfig.json"), config.to_string())?;
        run(Command::new(root().join("web/node_modules/.bin/tsc")).current_dir(&user))?;
    }
    Ok(())
}

/// Installs the example of React and Vite by its own `package.json`, as who begins with it does; the browser tests start Vite's own server there.
fn install_example(tarball: &Path) -> Result<()> {
    // As deep below the root as in `web/examples`: it names the tarball by a path.
    let example = target().join("dev/vite-react");
    let files = ["package.json", "vite.config.js", "index.html", "main.jsx"].map(PathBuf::from);
    copy(&root().join("web/examples/vite-react"), &example, &files)?;
    // The versions that the other tests have.
    copy(&root().join("web/test/package"), &example, &["package-lock.json".into()])?;
    npm::add(&example, tarball)
}
