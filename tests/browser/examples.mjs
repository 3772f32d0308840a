// The examples where something goes wrong, and while they answer.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chatty, read } from "./engine.mjs";
import { serveFolders } from "./folder.mjs";

const names = ["plain", "ai-sdk", "openai-client", "tool-calling"];

/** Gives `test` the address of each example, to which a model's is to be added, and that of a folder with nano in it. */
async function each(packaged, test) {
  const models = await mkdtemp(join(tmpdir(), "quire-models-"));
  await writeFile(join(models, "nano.gguf"), chatty(await read("nano/nano.gguf")));
  const server = await serveFolders({ apps: packaged, models });
  try {
    for (const name of names) await test(`${server.url}apps/examples/${name}/index.html?model=`, `${server.url}models/`);
  } finally {
    await server.stop();
    await rm(models, { recursive: true });
  }
}

const status = () => document.getElementById("status").textContent;

export const tests = {
  "a model that cannot be loaded is said to be in words, and nothing can be asked": (tab, { packaged }) =>
    each(packaged, async (url, models) => {
      await tab.goto(`${url}${models}absent.gguf`);
      await tab.until("words", () => document.getElementById("status").textContent.includes("404"), undefined, 20);
      assert.match(await tab.evaluate(status), /absent\.gguf/);
      assert.equal(await tab.evaluate(() => document.querySelector("button").disabled), true);
    }),

  "while one is answered no other can be asked, and an answer that fails is said to in words": (tab, { packaged }) =>
    each(packaged, async (url, models) => {
      await tab.goto(`${url}${models}nano.gguf`);
      await tab.until("the model", () => document.querySelector("button").disabled === false);
      const press = (question) =>
        tab.evaluate((question) => {
          document.getElementById("question").value = question;
          document.querySelector("button").click();
          return document.querySelector("button").disabled;
        }, question);
      assert.equal(await press("the"), true, url);
      await tab.until("its end", () => document.querySelector("button").disabled === false);
      // Longer than nano's context.
      assert.equal(await press("the ".repeat(5000)), true, url);
      await tab.until("words", () => /context/.test(document.getElementById("status").textContent), undefined, 20);
      assert.equal(await tab.evaluate(() => document.querySelector("button").disabled), false);
    }),
};
