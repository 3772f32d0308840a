// The GPU is lost in the midst of an answer, as by a crash of its driver. Chromium has a command for that.

import assert from "node:assert/strict";

import { complete, load, logits, numbers, openBlank, read } from "./engine.mjs";

const MAX_TOKENS = 40;

/** In the page: begins an answer; `window.said` tells how far it is. */
function begin({ prompt, maxTokens }) {
  const said = (window.said = { ids: [], isDone: false });
  const work = async () => {
    const body = { prompt, temperature: 0, max_tokens: maxTokens, logprobs: 0, stream: true };
    for await (const { choices } of await window.engine.completions.create(body)) said.ids.push(...(choices[0]?.logprobs?.ids ?? []));
  };
  work()
    .catch((error) => (said.error = `${error.code}: ${error.message}`))
    .finally(() => (said.isDone = true));
}

export const tests = {
  async "an answer goes on with the same words, and so does what follows it"(tab, { url }) {
    await openBlank(tab, url);
    const bytes = (await read("nano-moe16/nano-moe16.gguf")).toString("base64");
    assert.equal(await tab.evaluate(load, { bytes }), undefined);
    const prompt = (await numbers("nano-moe16/tokens-40.txt")).slice(0, 7);
    const question = { prompt, maxTokens: MAX_TOKENS };
    const whole = await complete(tab, question);
    const row = { ids: prompt, positions: [6], kvF16: false };
    const expected = await tab.evaluate(logits, row);

    await tab.evaluate(begin, question);
    await tab.until("some words", () => window.said.ids.length >= 2, undefined, 120);
    await tab.crashGpu();
    const before = await tab.evaluate(() => window.said.ids.length);
    assert.ok(before < MAX_TOKENS, "the answer was there before the GPU was lost");
    const said = await tab.until("the answer", () => window.said.isDone && window.said, undefined, 120);
    assert.equal(said.error, undefined);
    assert.deepEqual(said.ids, whole.ids);

    const next = await complete(tab, { prompt, maxTokens: 4 });
    assert.deepEqual([next.ids, next.logprobs], [whole.ids.slice(0, 4), whole.logprobs.slice(0, 4)]);
    assert.deepEqual(await tab.evaluate(logits, row), expected);
    assert.deepEqual(tab.errors, []);
    // All that is not an expert came to the GPU twice.
    assert.equal(next.stats.bytes_dense, 2 * whole.stats.bytes_dense);
    return `lost after ${before} of ${MAX_TOKENS} tokens`;
  },
};
