// The package as its tarball installs it, built into a page in several ways.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { serveFolders } from "./folder.mjs";

const vectors = fileURLToPath(new URL("../vectors", import.meta.url));

/** What the page in `folder` says, with a model or without one. */
async function said(tab, packaged, folder, hasModel) {
  const server = await serveFolders({ apps: packaged, vectors });
  try {
    const query = hasModel ? `?model=${server.url}vectors/nano/nano.gguf` : "";
    await tab.goto(`${server.url}apps/${folder}/index.html${query}`);
    return await tab.until("the page to say something", () => window.said, undefined, 120);
  } finally {
    await server.stop();
  }
}

/** The page's engine generates; all pages' say the same. */
const generates = (folder) =>
  async function (tab, { packaged }) {
    const tokens = await said(tab, packaged, folder, true);
    assert.match(tokens, /^\d+ \d+ \d+ \d+$/);
    assert.equal(tokens, (tab.tokens ??= tokens));
  };

/** The page starts a worker, and that the wasm module. */
const starts = (folder) =>
  async function (tab, { packaged }) {
    assert.equal(await said(tab, packaged, folder, false), "[]");
  };

export const tests = {
  "a page without a bundler generates": generates("plain"),
  "so does one that Vite built": generates("vite"),
  "with the package on another origin the engine starts": starts("cdn"),
  "so it does in a page that webpack built": starts("webpack"),
  "so it does in a page that esbuild built": starts("esbuild"),
};
