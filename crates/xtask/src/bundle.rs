//! The page: TypeScript bundled by esbuild beside the wasm module, static files copied.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{root, run, say, target};
use crate::{npm, wasm};

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
    // Not every browser takes a service worker that is a module; without imports and exports it is both.
    for (format, entries) in
        [("esm", &["page/main.ts", "src/index.ts", "src/worker.ts", "src/ai-sdk.ts"][..]), ("iife", &["src/service-worker.ts"])]
    {
        run(Command::new(web.join("node_modules/.bin/esbuild"))
            .args(entries)
            .args(["--bundle", "--target=es2022", "--minify", "--sourcemap", "--log-level=warning"])
            .args(["--entry-names=[name]", "--external:./wasm/*"])
            .args([format!("--format={format}"), format!("--outdir={}", out.display())])
            .current_dir(&web))?;
    }
    for name in ["index.html", "style.css", "icon.svg", "catalogue.json"] {
        let from = web.join("page").join(name);
        fs::copy(&from, out.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(out)
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
    for project in ["tsconfig.json", "tsconfig.service-worker.json"] {
        run(Command::new(web.join("node_modules/.bin/tsc")).args(["--noEmit", "-p", project]).current_dir(&web))?;
    }
    Ok(())
}

/// Bundles the tests of `web/` for node, a file each, and names them.
///
/// # Errors
/// If a tool is missing or fails.
pub(crate) fn tests() -> Result<Vec<PathBuf>> {
    let (web, out) = (root().join("web"), target().join("web-test"));
    npm::install(&web)?;
    let mut sources = Vec::new();
    for entry in fs::read_dir(web.join("test"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.ts") {
            sources.push(path);
        }
    }
    sources.sort();
    run(Command::new(web.join("node_modules/.bin/esbuild"))
        .args(&sources)
        .args(["--bundle", "--platform=node", "--format=esm", "--target=es2022", "--log-level=warning"])
        .args(["--out-extension:.js=.mjs"])
        // For what of the tests' own dependencies is CommonJS.
        .arg("--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);")
        .arg(format!("--outdir={}", out.display())))?;
    let name = |source: &PathBuf| out.join(source.with_extension("mjs").file_name().unwrap_or_default());
    Ok(sources.iter().map(name).collect())
}
