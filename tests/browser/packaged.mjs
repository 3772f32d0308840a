// The package as its tarball installs it, built into a page in several ways.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
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

/** The page's engine generates, also where a grammar leaves it two words; all pages' say the same. */
const generates = (folder) =>
  async function (tab, { packaged }) {
    const tokens = await said(tab, packaged, folder, true);
    assert.match(tokens, /^\d+ \d+ \d+ \d+ (yes|no)$/);
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

/** Where a software adapter has time for all of them. */
export const inFirefox = {
  "a page without a bundler generates": generates("plain"),
  "so does one that Vite built": generates("vite"),
  "so does one whose package is on another origin": generates("cdn"),
  "so does one that webpack built": generates("webpack"),
  "so does one that esbuild built": generates("esbuild"),
};

/** An example loads a model, is asked, and says something; `pageOf` is where the example is, of a server of `folders`. */
async function answers(tab, folders, pageOf) {
  const models = await mkdtemp(join(tmpdir(), "quire-models-"));
  await writeFile(join(models, "nano.gguf"), chatty(await read("nano/nano.gguf")));
  const server = await serveFolders({ ...folders, models });
  try {
    await tab.goto(`${pageOf(server)}?model=${server.url}models/nano.gguf`);
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
}

/** The example as it was built. */
const built = (name) => (tab, { packaged }) => answers(tab, { apps: packaged }, ({ url }) => `${url}apps/examples/${name}/index.html`);

/** Where a software adapter has time for it. */
export const examples = {
  "the example without a bundler answers": built("plain"),
  "so does that of React and Vite": built("vite-react"),
  "so does that of the AI SDK": built("ai-sdk"),
  "so does that of OpenAI's client over the service worker": built("openai-client"),
  "so does that of tool calling": built("tool-calling"),
};

/** Vite's own server in `folder`, whose package it bundles anew: its address, and how to end it. */
async function develop(folder) {
  const vite = spawn(join(folder, "node_modules/.bin/vite"), ["--port", "0", "--force"], { cwd: folder, env: { ...process.env, NO_COLOR: "1" }, stdio: ["ignore", "pipe", "inherit"] });
  let url;
  for await (const line of createInterface({ input: vite.stdout })) {
    url = /Local:\s+(http:\/\/\S+)/.exec(line)?.[1];
    if (url) break;
  }
  assert.ok(url, "Vite did not say where it listens");
  const stop = async () => {
    vite.kill();
    await once(vite, "exit");
  };
  return { url, stop };
}

/** While somebody works on it an example is not built: what is in it comes module by module, and of its packages some in one file. */
export const development = {
  async "the example of React and Vite answers from Vite's own server"(tab, { packaged }) {
    const { url, stop } = await develop(join(packaged, "../dev/vite-react"));
    try {
      await answers(tab, {}, () => url);
    } finally {
      await stop();
    }
  },
};
