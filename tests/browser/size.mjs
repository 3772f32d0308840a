// A model of gpt-oss-20b's widths with 4 layers, 3 GB of random weights, under budgets of GPU memory that have room for all of its
// experts, for half, for a few, and for the fewest. On two cores it takes ten minutes, so `cargo xtask test` leaves it out: `cargo xtask test --long widths` makes the model,
// has it answer natively with all experts on the GPU, and runs this alone.

import assert from "node:assert/strict";

import { peakDuring } from "./memory.mjs";

/** Budgets of GPU memory, and the slots a layer that they have room for. */
const BUDGETS = [[4e9, 32], [2.35e9, 16], [2e9, 9], [1.91e9, 8], [1.75e9, 5]];
/** JavaScript's heap and wasm memory together. */
const HOST_BYTES = 512e6;

/** In the page: loads the model and begins its answer; `window.said` will be what became of it. */
function begin({ model, prompt, maxTokens, maxGpuBytes }) {
  const work = async () => {
    const { createEngine } = await import(new URL("index.js", document.baseURI).href);
    const start = performance.now();
    const engine = await createEngine({ model, maxGpuBytes, fill: false });
    const loaded = performance.now();
    const body = { prompt, temperature: 0, max_tokens: maxTokens, logprobs: 0 };
    const { choices } = await engine.completions.create(body);
    const seconds = [loaded - start, performance.now() - loaded].map((ms) => ms / 1000);
    const { slots, misses, passes, bytes_fetched: fetched, experts_touched: touched } = await engine.stats();
    return { ids: choices[0].logprobs.ids, info: engine.info, slots, misses, passes, fetched, touched, seconds };
  };
  window.said = undefined;
  work().then((said) => (window.said = said), (error) => (window.said = { error: `${error.code}: ${error.message}` }));
}

async function answer(tab, { url }, native, maxGpuBytes, slots) {
  await tab.goto(`${url}?model=`);
  const { prompt, ids } = native;
  const work = async () => {
    await tab.evaluate(begin, { model: `${url}models/${native.file}`, prompt, maxTokens: ids.length, maxGpuBytes });
    return tab.until("the answer", () => window.said, undefined, 3600);
  };
  const { result: said, peak } = await peakDuring(tab, work);
  assert.equal(said.error, undefined);
  assert.deepEqual(said.ids, ids);
  assert.ok(said.info.gpuBytes <= maxGpuBytes, `${said.info.gpuBytes} bytes of GPU memory`);
  assert.equal(said.slots, slots);
  assert.ok(peak.wasm > 0 && peak.heap > 0, "the page was not found in the browser's books");
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const memory = `wasm ${megabytes(peak.wasm)} and JavaScript ${megabytes(peak.heap)} at most of ${peak.looks} looks`;
  assert.ok(peak.wasm + peak.heap < HOST_BYTES, memory);
  const [loading, answering] = said.seconds.map((s) => `${s.toFixed(0)} s`);
  const passes = (said.passes / ids.length).toFixed(2);
  assert.ok(said.passes / ids.length <= 3, `${passes} passes a token`);
  const paging = `${said.misses} misses, ${passes} passes a token, ${said.touched} experts touched`;
  return `${memory}; ${megabytes(said.info.gpuBytes)} on the GPU; ${paging}; ${said.fetched} B fetched; loaded in ${loading}, ${ids.length} tokens in ${answering}`;
}

/** @param native `{ file, prompt, ids }`: what the model says natively, and its name at the server. */
export const tests = (native) => Object.fromEntries(
  BUDGETS.map(([bytes, slots]) => [
    `with ${slots} of 32 slots it says the same as natively, in 512 MB of JavaScript and wasm`,
    (tab, places) => answer(tab, places, native, bytes, slots),
  ]),
);
