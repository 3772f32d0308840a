// `cargo xtask bench --browser`: how fast a model is in a browser and what a token costs, as `quire bench MODEL` measures it natively
// (`crates/cli/src/bench/model.rs`), as one JSON object of the same fields.
// `node bench.mjs chromium|firefox '{"prefill": 128, "decode": 32, "runs": 3}'` measures the model of the page at QUIRE_URL.

import { browsers } from "./browsers.mjs";

const names = { chromium: "Chromium", firefox: "Firefox" };

/** In the page: loads the model and measures it; `window.measured` will be what was found. */
function begin({ prefill, decode, runs, warmUp, counted }) {
  /** Exactly `n` tokens after the `nth` of prompts that differ from their first token on: nothing is kept from one to the next. */
  const generate = async (engine, nth, nPrompt, n) => {
    const prompt = Array.from({ length: nPrompt }, (_, i) => (nth + i * 31) % 251);
    const { usage, timings } = await engine.completions.create({ prompt, temperature: 0, max_tokens: n });
    if (usage.completion_tokens !== n) throw new Error(`${usage.completion_tokens} of ${n} tokens were generated`);
    return timings;
  };
  /** What is counted for `n` tokens after a prompt of one. */
  const cost = async (engine, nth, n) => {
    const before = await engine.stats();
    await generate(engine, nth, 1, n);
    const after = await engine.stats();
    return (what) => after[what] - before[what];
  };
  const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const work = async () => {
    const { createEngine } = await import(new URL("index.js", document.baseURI).href);
    const { model } = await (await fetch("config.json")).json();
    const engine = await createEngine({ model, cache: "none" });
    await generate(engine, 0, prefill, Math.min(warmUp, decode));
    // What is not there is fetched now, as far as there is room.
    for (;;) {
      const { state } = (await engine.stats()).fill;
      if (state === "stopped") throw new Error("the model was not fetched to its end");
      if (state === "done") break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    // What a short prompt and a miss need is made once, too.
    await cost(engine, 199, 1 + counted);
    const [one, more] = [await cost(engine, 200, 1), await cost(engine, 201, 1 + counted)];
    const aToken = (what) => (more(what) - one(what)) / counted;
    const before = await engine.stats();
    const answers = [];
    for (let nth = 1; nth <= runs; nth += 1) answers.push(await generate(engine, nth, prefill, decode));
    const after = await engine.stats();
    const seconds = median(answers.map((timings) => timings.prefill_seconds));
    return {
      adapter: engine.info.adapter,
      model: engine.info.name,
      runs,
      prefill_tokens: prefill,
      decode_tokens: decode,
      prefill_tps: prefill / seconds,
      decode_tps: median(answers.map((timings) => timings.decode_tps)),
      first_token_ms: seconds * 1e3,
      passes: (after.passes - before.passes) / (after.tokens - before.tokens),
      dispatches: aToken("dispatches"),
      bind_groups: aToken("bind_groups"),
      bytes_written: aToken("bytes_written"),
      bytes_read: aToken("bytes_read"),
      readbacks: aToken("readbacks"),
      misses: (after.misses - before.misses) / runs,
      slots: after.slots,
      gpu_bytes: engine.info.gpuBytes,
    };
  };
  window.measured = undefined;
  work().then((measured) => (window.measured = { measured }), (error) => (window.measured = { error: String(error) }));
}

const [name, options] = [names[process.argv[2]], JSON.parse(process.argv[3])];
const url = process.env.QUIRE_URL;
const { tab, version, close } = await browsers[name].open({ webgpu: true });
try {
  await tab.goto(`${url}?model=`);
  await tab.evaluate(begin, { warmUp: 4, counted: 8, ...options });
  const { error, measured } = await tab.until("the measurements", () => window.measured, undefined, 3600);
  if (error) throw new Error(error);
  const date = new Date().toISOString().slice(0, 10);
  console.log(JSON.stringify({ date, platform: `${name} ${version}`, ...measured }));
} finally {
  await close();
}
