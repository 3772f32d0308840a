// Experts that have no room on the GPU and stay in memory outside wasm's.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { served } from "./kept.mjs";

const vectors = new URL("../vectors/nano-moe16/", import.meta.url);
const N_LAYERS = 4;
const MAX_TOKENS = 12;
/** Experts, of 64. */
const MOST_HELD = 30;
/** The map that is looked for beside a model: the server gives the model's first bytes for it. */
const HEAT_BYTES = 16 + N_LAYERS * 16 * 4;

/** In the page: what a model that was fetched before says to `prompt`, and what that cost. */
async function answer({ prompt, maxTokens, ...options }) {
  const { createEngine } = await import(new URL("index.js", document.baseURI).href);
  const engine = await createEngine({ fill: false, cache: "indexeddb", ...options });
  const { choices } = await engine.completions.create({ prompt, temperature: 0, max_tokens: maxTokens, logprobs: 0 });
  const [stats, { gpuBytes }] = [await engine.stats(), engine.info];
  await engine.unload();
  return { ids: choices[0].logprobs.ids, gpuBytes, stats };
}

export const tests = {
  async "experts that left the GPU come back from memory, up to its budget, and nothing else has changed"(tab, { url }) {
    const prompt = (await readFile(new URL("tokens-40.txt", vectors), "utf8")).split(",", 7).map(Number);
    return served(await readFile(new URL("nano-moe16.gguf", vectors)), async (server, model) => {
      await tab.goto(`${url}?model=`);
      const ask = (options) => tab.evaluate(answer, { model, prompt, maxTokens: MAX_TOKENS, ...options });
      const whole = await ask({ maxRamBytes: 1e9 });
      assert.equal(whole.stats.bytes_held, 0, "held, though all of it is on the GPU");
      const { slots, bytes_per_expert: size } = whole.stats;
      const maxGpuBytes = whole.gpuBytes - (slots - 5) * N_LAYERS * size;
      const less = await ask({ maxGpuBytes, maxRamBytes: size - 1 });
      const more = await ask({ maxGpuBytes, maxRamBytes: MOST_HELD * size });
      for (const { ids, stats } of [less, more]) {
        assert.deepEqual([stats.slots, ids], [5, whole.ids]);
        assert.equal(stats.places.flat().includes("ram"), stats.bytes_held > 0);
        assert.equal(stats.bytes_ram > 0, stats.bytes_held > 0);
      }
      assert.deepEqual([less, more].map(({ stats }) => stats.bytes_held / size), [0, MOST_HELD]);
      const disk = [less, more].map(({ stats }) => stats.bytes_disk);
      assert.ok(disk[0] - more.stats.bytes_ram >= disk[1], `${disk.join(", ")}, ${more.stats.bytes_ram}`);
      assert.ok(server.sent <= server.file.length + HEAT_BYTES, `${server.sent} bytes of ${server.file.length} were fetched`);
      return `${disk.join(" and ")} bytes of disk with 0 and ${MOST_HELD} experts in memory`;
    });
  },
};
