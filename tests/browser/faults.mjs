// A model over a bad line: the CDN simulator at CDN_URL fails requests in every way that it knows.

import assert from "node:assert/strict";

import { complete, load, numbers, openBlank } from "./engine.mjs";
import { ask } from "./kept.mjs";

/** All that can go wrong, in a fifth of the requests; redirects expire after a few of them. */
const SPEC = "faults,rate=0.2,redirect=12,stall=300";
const SEEDS = [1, 2];
const MAX_TOKENS = 4;

export const tests = {
  async "experts that come over a bad line say the same, and no error is shown"(tab, { url, cdn }) {
    await openBlank(tab, url);
    const question = { prompt: (await numbers("nano-moe16/tokens-40.txt")).slice(0, 7), maxTokens: MAX_TOKENS };
    const model = { url: `${cdn}nano-moe16/nano-moe16.gguf`, cache: "none" };
    await ask(cdn, "faults");
    assert.equal(await tab.evaluate(load, model), undefined);
    const whole = await complete(tab, question);
    const { slots, bytes_per_expert: bytes } = whole.stats;
    const maxGpuBytes = whole.info.gpuBytes - (slots - 5) * 4 * bytes;
    const notes = [];
    for (const seed of SEEDS) {
      await ask(cdn, `faults?${SPEC},seed=${seed}`);
      await ask(cdn, "reset");
      assert.equal(await tab.evaluate(load, { ...model, maxGpuBytes }), undefined);
      const got = await complete(tab, question);
      assert.deepEqual([got.ids, got.logprobs], [whole.ids, whole.logprobs], `seed ${seed}`);
      const counts = JSON.parse(await ask(cdn, "counts"));
      const faults = Object.values(counts.faults).reduce((sum, n) => sum + n, 0);
      assert.ok(faults > 0, JSON.stringify(counts));
      notes.push(`${faults} faults`);
    }
    assert.deepEqual(tab.errors, []);
    return notes.join(", ");
  },
};
