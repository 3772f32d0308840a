// The package as its tarball installs it, built into a page in several ways.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { chatty, read } from "./engine.mjs";
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

/** The example loads a model, is asked, and says something. */
const answers = (name) =>
  async function (tab, { packaged }) {
    const models = await mkdtemp(join(tmpdir(), "quire-models-"));
    await writeFile(join(models, "nano.gguf"), chatty(await read("nano/nano.gguf")));
    const server = await serveFolders({ apps: packaged, models });
    try {
      await tab.goto(`${server.url}apps/examples/${name}/index.html?model=${server.url}models/nano.gguf`);
      await tab.until("the model", () => document.querySelector("button")?.disabled === false);
      // A random model may find that it has said enough before its first word.
      for (let tries = 3, said = false; !said; tries -= 1) {
        await tab.evaluate(() => document.querySelector("button").click());
        const answer = tab.until("an answer", () => document.querySelector("#answer").textContent.length > 0, undefined, 10);
        said = await answer.then(() => true, (error) => tries === 1 && Promise.reject(error));
      }
    } finally {
      await server.stop();
      await rm(models, { recursive: true });
    }
  };

/** Where a software adapter has time for it. */
export const examples = {
  "the example without a bundler answers": answers("plain"),
  "so does that of React and Vite": answers("vite-react"),
  "so does that of the AI SDK": answers("ai-sdk"),
  "so does that of OpenAI's client over the service worker": answers("openai-client"),
  "so does that of tool calling": answers("tool-calling"),
};
