// The engine through its JavaScript face: exact logits of nano, greedy answers of real models, errors and aborts.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

const vectors = new URL("../vectors/", import.meta.url);
export const read = (path) => readFile(new URL(path, vectors));
export const numbers = async (path) => (await read(path)).toString().trim().split(/[\s,]+/).map(Number);

/** nano as a model without Harmony: its file has a template too, whose answers are text whatever the tokens. */
export const chatty = (nano) => Buffer.from(nano.toString("latin1").replaceAll("<|channel|>", "<|chunnel|>"), "latin1");

/** Opens a page of the site that loads no model by itself. */
export const openBlank = (tab, url) => tab.goto(`${url}?model=`);

/** In the page: loads a URL, or bytes as a file, into `window.engine`. Resolves to how it failed, if it did. */
export async function load({ url, bytes, cache, abortAfterBytes, maxGpuBytes, kv }) {
  const { createEngine } = await import(new URL("index.js", document.baseURI).href);
  const model = url ?? new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "file.gguf");
  const controller = new AbortController();
  const onProgress = ({ loaded }) => {
    if (loaded > abortAfterBytes) controller.abort();
  };
  try {
    await window.engine?.unload();
    window.engine = await createEngine({ model, cache, onProgress, maxGpuBytes, kv, signal: controller.signal });
  } catch (error) {
    return { name: error.name, code: error.code, message: error.message };
  }
}

/** In the page: the rows of `engine.logits` at `positions`. */
export async function logits({ ids, positions, kvF16 }) {
  const all = await window.engine.logits(Uint32Array.from(ids), { kvF16 });
  const nVocab = all.length / ids.length;
  return positions.flatMap((p) => [...all.subarray(p * nVocab, (p + 1) * nVocab)]);
}

/** In the page: begins what follows `prompt` without sampling; `window.said` will be that, and the engine's numbers after it. */
function begin({ prompt, maxTokens }) {
  const work = async () => {
    const body = { prompt, temperature: 0, max_tokens: maxTokens, logprobs: 0 };
    const { choices, usage } = await window.engine.completions.create(body);
    const { ids, token_logprobs: logprobs } = choices[0].logprobs;
    return { ids, logprobs, usage, info: window.engine.info, stats: await window.engine.stats() };
  };
  window.said = undefined;
  work().then((said) => (window.said = said), (error) => (window.said = { error: `${error.code}: ${error.message}` }));
}

/** What follows `prompt` without sampling, and the engine's numbers after it. */
export async function complete(tab, question, seconds = 600) {
  await tab.evaluate(begin, question);
  const said = await tab.until("the completion", () => window.said, undefined, seconds);
  assert.equal(said.error, undefined);
  return said;
}

/** In the page: a streamed answer without sampling, and the seconds to its first piece and from there to its last. */
async function answer({ prompt, maxTokens }) {
  const messages = [{ role: "user", content: prompt }];
  const options = { temperature: 0, max_tokens: maxTokens, stream: true, stream_options: { include_usage: true } };
  const begin = performance.now();
  let [text, finish, usage, first, last] = ["", null, null, undefined, begin];
  for await (const chunk of await window.engine.chat.completions.create({ messages, ...options })) {
    const choice = chunk.choices[0];
    if (choice?.delta.content) {
      text += choice.delta.content;
      last = performance.now();
      first ??= last;
    }
    finish = choice?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  return { text, finish, usage, prefill: (first - begin) / 1000, decode: (last - first) / 1000 };
}

/** `rms(got - expected) / rms(expected)`. */
function relativeRms(got, expected) {
  assert.equal(got.length, expected.length);
  let [error, scale] = [0, 0];
  for (let i = 0; i < got.length; i += 1) {
    error += (got[i] - expected[i]) ** 2;
    scale += expected[i] ** 2;
  }
  return Math.sqrt(error / scale);
}

/** Holds the logits of a nano model to those of a float64 forward pass in the worst position; `bounds` are `[tokens, bound]`. */
async function checkNano(tab, name, kvF16, bounds) {
  const failed = await tab.evaluate(load, { bytes: (await read(`nano/${name}.gguf`)).toString("base64") });
  assert.equal(failed, undefined);
  const errors = [];
  for (const [n, bound] of bounds) {
    const [ids, positions] = [await numbers(`nano/tokens-${n}.txt`), await numbers(`nano/positions-${n}.txt`)];
    const bytes = await read(`nano/${name}.logits-${n}.f32`);
    const golden = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const got = await tab.evaluate(logits, { ids, positions, kvF16 });
    const nVocab = golden.length / positions.length;
    const row = (all, at) => all.slice(at * nVocab, (at + 1) * nVocab);
    const error = Math.max(...positions.map((_, at) => relativeRms(row(got, at), row(golden, at))));
    assert.ok(error < bound, `${n} tokens: relative RMS ${error.toExponential(2)}, bound ${bound}`);
    errors.push(`${n}: ${error.toExponential(1)}`);
  }
  return errors.join(", ");
}

/** Holds what the loaded model says, `maxTokens` of each answer, to the golden answers of `name`. */
async function checkGreedy(tab, name, maxTokens) {
  const answers = [];
  for (const { prompt, ids, text } of JSON.parse(await read(`smollm2/${name}.greedy.json`))) {
    const got = await tab.evaluate(answer, { prompt, maxTokens });
    const whole = text.split("<|im_end|>")[0];
    const end = ids.indexOf(2);
    const isWhole = end >= 0 && end < maxTokens;
    assert.equal(got.finish, isWhole ? "stop" : "length", `${prompt}: ${got.text}`);
    // Token by token the text grows, so as many tokens of the golden text make a beginning of it.
    if (isWhole) assert.equal(got.text, whole);
    else assert.ok(got.text.length > maxTokens && whole.startsWith(got.text), `${prompt}: ${got.text}, not ${whole}`);
    answers.push(got);
    // The first answer was paged; from here on every expert is there, which is all that a slow adapter has time for.
    await tab.until("all experts to come", () => window.engine.stats().then(({ places }) => places.flat().every((place) => place === "gpu")), undefined, 300);
  }
  const sum = (number) => answers.reduce((total, got) => total + number(got), 0);
  // The first prompt alone finds nothing to reuse.
  const prefill = answers[0].usage.prompt_tokens / answers[0].prefill;
  const decode = sum((got) => got.usage.completion_tokens - 1) / sum((got) => got.decode);
  return `prefill ${prefill.toFixed(1)} tok/s, decode ${decode.toFixed(1)} tok/s`;
}

/**
 * Holds what a model says with `slots` for experts in each of `nLayers` to what it says with all its experts there, to the last
 * bit of each token's probability; and that to `ids`, if they are known.
 */
async function checkSlots(tab, model, { prompt, maxTokens, ids, seconds }, nLayers, slots) {
  assert.equal(await tab.evaluate(load, model), undefined);
  const whole = await complete(tab, { prompt, maxTokens }, seconds);
  if (ids) assert.deepEqual(whole.ids, ids);
  const notes = [];
  for (const n of slots) {
    const { slots: all, bytes_per_expert: bytes } = whole.stats;
    const maxGpuBytes = whole.info.gpuBytes - (all - n) * nLayers * bytes;
    assert.equal(await tab.evaluate(load, { ...model, maxGpuBytes }), undefined);
    const got = await complete(tab, { prompt, maxTokens }, seconds);
    assert.ok(got.info.gpuBytes <= maxGpuBytes, `${got.info.gpuBytes} bytes of ${maxGpuBytes}`);
    assert.equal(got.stats.slots, n);
    assert.deepEqual(got.ids, whole.ids, `${n} slots`);
    assert.deepEqual(got.logprobs, whole.logprobs, `${n} slots`);
    const passes = (got.stats.passes / got.usage.completion_tokens).toFixed(1);
    notes.push(`${n} of ${all} slots: ${got.stats.misses} misses, ${passes} passes a token`);
  }
  return `${whole.usage.completion_tokens} tokens; ${notes.join("; ")}`;
}

export const tests = {
  async "nano in f32 gives the logits of a float64 forward"(tab, { url }) {
    await openBlank(tab, url);
    return checkNano(tab, "nano-f32", false, [[1, 1e-5], [40, 1e-5], [900, 2e-4]]);
  },

  async "f16 keys and values cost little"(tab, { lengths }) {
    return checkNano(tab, "nano-f32", true, lengths.map((n) => [n, 5e-3]));
  },

  async "MXFP4 experts and Q8_0 attention give the logits of their dequantised weights"(tab, { lengths }) {
    return checkNano(tab, "nano", false, lengths.map((n) => [n, 2e-3]));
  },

  async "an address with nothing behind it is a network error"(tab, { url }) {
    const failed = await tab.evaluate(load, { url: `${url}models/no-such-model.gguf` });
    assert.equal(failed?.code, "network");
    assert.match(failed.message, /404/);
  },

  async "what is no GGUF is a format error, from a file and over HTTP"(tab, { url }) {
    const text = await tab.evaluate(load, { bytes: Buffer.from("once upon a time there was a model ".repeat(9)).toString("base64") });
    assert.equal(text?.code, "format", JSON.stringify(text));
    const html = await tab.evaluate(load, { url: `${url}index.html` });
    assert.equal(html?.code, "format", JSON.stringify(html));
  },

  async "keys and values are kept as is said, and in less memory as q8_0"(tab) {
    const bytes = (await read("nano/nano.gguf")).toString("base64");
    const gpuBytes = async (kv) => {
      assert.equal(await tab.evaluate(load, { bytes, kv }), undefined);
      return tab.evaluate(() => window.engine.info.gpuBytes);
    };
    const [f16, q8_0] = [await gpuBytes("f16"), await gpuBytes("q8_0")];
    assert.ok(q8_0 < f16, `${q8_0} bytes, ${f16} as f16`);
    const refused = await tab.evaluate(load, { bytes, kv: "q4" });
    assert.match(refused?.message ?? "", /"q4" is none of f16, f32 and q8_0/);
  },

  async "loading is aborted with an AbortError, and the same model loads after it"(tab, { url }) {
    const model = `${url}models/smollm2-moe.gguf`;
    const failed = await tab.evaluate(load, { url: model, abortAfterBytes: 20e6 });
    assert.equal(failed?.name, "AbortError", JSON.stringify(failed));
    assert.equal(await tab.evaluate(load, { url: model }), undefined);
  },

  async "greedy answers of smollm2-moe to five prompts are those of the golden run"(tab, { maxTokens }) {
    return checkGreedy(tab, "smollm2-moe", maxTokens);
  },

  async "with half or the fewest slots a model of 16 experts says the same"(tab, { browser }) {
    const bytes = (await read("nano-moe16/nano-moe16.gguf")).toString("base64");
    const prompt = (await numbers("nano-moe16/tokens-40.txt")).slice(0, 7);
    return checkSlots(tab, { bytes }, { prompt, maxTokens: browser === "Chromium" ? 40 : 200 }, 4, [8, 5]);
  },

  async "a second request meanwhile is refused as busy, and a stopped one makes way"(tab) {
    const found = await tab.evaluate(async () => {
      const { completions } = window.engine.chat;
      const body = { messages: [{ role: "user", content: "Count to ten." }], temperature: 0, max_tokens: 3 };
      const controller = new AbortController();
      const first = completions.create(body, { signal: controller.signal });
      const second = await completions.create(body).catch((error) => error.code);
      controller.abort();
      const third = completions.create(body);
      return { first: await first.catch((error) => error.name), second, third: (await third).usage.completion_tokens };
    });
    assert.deepEqual(found, { first: "AbortError", second: "busy", third: 3 });
  },

  async "greedy answers of smollm2 to five prompts are those of the golden run"(tab, { url, maxTokens }) {
    await openBlank(tab, url);
    assert.equal(await tab.evaluate(load, { url: `${url}models/smollm2.gguf` }), undefined);
    return checkGreedy(tab, "smollm2", maxTokens);
  },
};

/** Where the software adapter has time for more. */
export const longer = {
  async "with the fewest slots smollm2-moe says the same"(tab, { url }) {
    await openBlank(tab, url);
    return checkSlots(tab, { url: `${url}models/smollm2-moe.gguf` }, { prompt: "Once upon a time", maxTokens: 6 }, 30, [3]);
  },
};

/** What takes an hour. @param native `{ file, prompt, ids }`: what smollm2-moe says natively, and its name at the server. */
export const longest = ({ file, prompt, ids }) => ({
  async "with half or the fewest slots smollm2-moe says as much as natively"(tab, { url, browser }) {
    await openBlank(tab, url);
    const maxTokens = browser === "Chromium" ? 40 : ids.length;
    const question = { prompt, maxTokens, ids: ids.slice(0, maxTokens), seconds: 3600 };
    return checkSlots(tab, { url: `${url}models/${file}` }, question, 30, [4, 3]);
  },
});

/** Of Playwright's: it tells of workers. */
export const inSubgroups = {
  async "shaders may count on subgroups where the browser has them"(tab, { url }) {
    const hook = () => {
      self.texts = [];
      const { createShaderModule } = GPUDevice.prototype;
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        self.texts.push(descriptor.code);
        return createShaderModule.call(this, descriptor);
      };
    };
    const hooked = new Promise((resolve) => tab.page.once("worker", (worker) => resolve(worker.evaluate(hook).then(() => worker))));
    await openBlank(tab, url);
    assert.equal(await tab.evaluate(load, { bytes: (await read("nano/nano-f32.gguf")).toString("base64") }), undefined);
    await tab.evaluate(logits, { ids: [1, 2, 3], positions: [2] });
    const texts = await (await hooked).evaluate(() => self.texts);
    assert.ok(texts.length > 0 && texts.every((text) => text.startsWith("enable subgroups;")));
    assert.deepEqual(tab.errors, []);
    return `${texts.length} shaders`;
  },
};
