//! The page: TypeScript bundled by esbuild beside the wasm module, static files copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::shell::{root, run, say, target};
use crate::{npm, wasm};

/// Files of the page that are served as they are.
const STATIC: [&str; 5] = ["index.html", "icon.svg", "icon-512.png", "catalogue.json", "manifest.webmanifest"];
/// What is bundled into the page.
const PAGE: [&str; 8] = [
    "page/main.ts",
    "page/maths.css",
    "page/style.css",
    "page/frame.css",
    "page/talk.css",
    "page/text.css",
    "page/foot.css",
    "page/dialogs.css",
];

/// Builds everything that is served at `/`, and says where it is.
///
/// # Errors
/// If a tool is missing or fails.
pub(crate) fn build() -> Result<PathBuf> {
    let out = target().join("web");
    wasm::build(&out.join("wasm"))?;
    let web = root().join("web");
    npm::install(&web)?;
    say("bundling the page");
    forget(&out)?;
    // What the page needs only at times comes in parts of its own, all in one folder: modules find the worker beside them.
    let split = ["--splitting", "--chunk-names=part-[hash]", "--asset-names=fonts/[name]-[hash]", "--loader:.woff2=file"];
    // Browsers that have WebGPU need no older fonts.
    esbuild(&web, &out, &PAGE, &[&split[..], &["--loader:.woff=empty", "--loader:.ttf=empty"]].concat())?;
    esbuild(&web, &out, &["src/index.ts", "src/worker.ts", "src/ai-sdk.ts"], &["--external:./wasm/*"])?;
    esbuild(&web, &out.join("wasm"), &["src/wasm/grammar.ts"], &["--external:./quire_grammar.js"])?;
    esbuild(&web, &out, &["node_modules/pdfjs-dist/build/pdf.worker.min.mjs"], &[])?;
    copy_cmaps(&web.join("node_modules/pdfjs-dist/cmaps"), &out.join("cmaps"))?;
    // Not every browser takes a service worker that is a module.
    esbuild(&web, &out, &["src/service-worker.ts"], &["--format=iife"])?;
    for name in STATIC {
        let from = web.join("page").join(name);
        fs::copy(&from, out.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    // How deep its elements are is for those who read it here, and more than a kilobyte.
    let html = fs::read_to_string(web.join("page/index.html"))?;
    fs::write(out.join("index.html"), html.lines().map(str::trim_start).collect::<Vec<_>>().join("\n"))?;
    // The page's own service worker names all the rest.
    let files = files(&out)?;
    let build = format!("--define:BUILD={}", serde_json::to_string(&hash(&out, &files)?)?);
    let names: Vec<String> = files.iter().map(|file| file.to_string_lossy().replace('\\', "/")).collect();
    // Hosts may send those who ask for `index.html` on to the folder, and no page can be answered with a redirection.
    let names: Vec<&str> = names.iter().map(|name| if name == "index.html" { "./" } else { name }).collect();
    let names = format!("--define:FILES={}", serde_json::to_string(&names)?);
    esbuild(&web, &out, &["page/sw.ts"], &["--format=iife", &build, &names])?;
    Ok(out)
}

/// Tells a build from others: by the names of its files and what is in them.
fn hash(out: &Path, files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.to_string_lossy().as_bytes());
        hash.update(fs::read(out.join(file))?);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Bundles `entries`, each with what it imports.
fn esbuild(web: &Path, out: &Path, entries: &[&str], options: &[&str]) -> Result<()> {
    run(Command::new(web.join("node_modules/.bin/esbuild"))
        .args(entries)
        .args(["--bundle", "--format=esm", "--target=es2022", "--minify", "--sourcemap", "--log-level=warning", "--entry-names=[name]"])
        // Chinese is half as long.
        .arg("--charset=utf8")
        .args(options)
        .arg(format!("--outdir={}", out.display()))
        .current_dir(web))
}

/// Copies the tables by which PDF files encode Chinese, Japanese and Korean, with their licence.
fn copy_cmaps(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, to.join(if name == "LICENSE" { "LICENSE.txt".as_ref() } else { name }))?;
    }
    Ok(())
}

/// Removes what an earlier build left: parts are named by what is in them.
fn forget(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        if path.is_file() {
            fs::remove_file(path)?;
        }
    }
    for folder in ["fonts", "cmaps"].map(|name| out.join(name)) {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    Ok(())
}

/// The files of the page at `out`: all that is built but notes for tools.
///
/// # Errors
/// If a folder cannot be read.
pub(crate) fn files(out: &Path) -> Result<Vec<PathBuf>> {
    const SERVED: [&str; 11] = ["html", "css", "svg", "png", "json", "webmanifest", "js", "wasm", "woff2", "bcmap", "txt"];
    let mut files = Vec::new();
    for folder in ["", "cmaps", "fonts", "wasm"].into_iter().filter(|folder| out.join(folder).is_dir()) {
        for entry in fs::read_dir(out.join(folder))? {
            let file = Path::new(folder).join(entry?.file_name());
            let is_served = file.extension().is_some_and(|ending| SERVED.iter().any(|served| ending == *served));
            if is_served && out.join(&file).is_file() {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Checks the types of everything in `web/`.
///
/// # Errors
/// If there is an error in them, or the checker cannot be had.
pub(crate) fn check_types() -> Result<()> {
    let web = root().join("web");
    npm::install(&web)?;
    say("checking types");
    // A page and a service worker have different globals.
    for project in ["tsconfig.json", "tsconfig.service-worker.json", "page/tsconfig.json"] {
        run(Command::new(web.join("node_modules/.bin/tsc")).args(["--noEmit", "-p", project]).current_dir(&web))?;
    }
    Ok(())
}

/// Bundles the tests of `web/` for node, a file each, and names them.
///
/// # Errors
/// If a tool is missing or fails.
pub(crate) fn tests() -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(root().join("web/test"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.ts") {
            sources.push(path);
        }
    }
    sources.sort();
    for_node(&sources, &target().join("web-test"))
}

/// Bundles `sources` for node into `out`, a file each, and names them. What they import is looked for beside them, and then in `web/`.
///
/// # Errors
/// If a tool is missing or fails.
pub(crate) fn for_node(sources: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>> {
    let web = root().join("web");
    npm::install(&web)?;
    run(Command::new(web.join("node_modules/.bin/esbuild"))
        .args(sources)
        .args(["--bundle", "--platform=node", "--format=esm", "--target=es2022", "--log-level=warning"])
        .args(["--out-extension:.js=.mjs"])
        // For what of the tests' own dependencies is CommonJS.
        .arg("--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);")
        .arg(format!("--outdir={}", out.display()))
        .env("NODE_PATH", web.join("node_modules")))?;
    let name = |source: &PathBuf| out.join(source.with_extension("mjs").file_name().unwrap_or_default());
    Ok(sources.iter().map(name).collect())
}
