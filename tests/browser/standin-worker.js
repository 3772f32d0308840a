// In the place of the engine's worker. What the last message of a request says is done: `repeat TEXT` is answered with the
// text, `think TEXT` with the text as reasoning and then "Thought.", `slowly TEXT` with the text, two words a second, `call NAMES` by a
// call of each of these tools, or of the first that there is, `request` with the request itself, `break TEXT` with the text and then a failure; everything else with "You said: " and
// what was said, but results of calls with these. Of a message with passages of documents its last paragraph says what is done. A context that is asked for holds so many
// words, and no answer goes without one. A model whose address says `slowly` takes a second to load, and tells how far it is; others come at once. Which it was the
// adapter's name tells.
// `pass TEXT` is answered by a call with the text in its arguments, `tell EVENTS` by telling those of the engine, JSON. A model whose address
// says `endlessly` never gets further than a part of it, `broken` does not come, `large` has as many experts as gpt-oss-20b, and of
// `partly` not all is here yet.

const post = (message) => self.postMessage(message);
const stopped = new Set();
let context = Infinity;
const kept = [
  { url: "https://models.test/first.gguf", size: 12_000_000_000, kept: 3_000_000_000, tag: null },
  { url: "https://models.test/second.gguf", size: 100_000_000, kept: 100_000_000, tag: null },
];
let listener;
let fill = { type: "fill", state: "done", loaded: 12e9, total: 12e9, verified: false };
const stats = { places: [["gpu", "ram"], ["disk", "network"]], heat: [[1, 0], [0, 0]], hits: 30, misses: 10, tokens: 20, passes: 30, replays: 10 };
const rest = { stall_seconds: 1.5, bytes_fetched: 3e9, bytes_network: 3e9, bytes_disk: 2e9, bytes_ram: 1e9, bytes_held: 5e8, bytes_wasm: 2e7, bytes_gpu: 4e9, slots: 1 };

/** `pieces` put together to some fifty. */
function few(pieces) {
  const size = Math.ceil(pieces.length / 50);
  const groups = Array.from({ length: Math.ceil(pieces.length / size) }, (_, at) => pieces.slice(at * size, (at + 1) * size));
  return groups.map((group) => ({ content: group.map(({ content }) => content).join("") }));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function load(id, { model, options }) {
  const from = model.name ?? model;
  context = options.contextLength ?? Infinity;
  const tell = (progress) => post({ id, kind: "part", json: JSON.stringify(progress) });
  if (from.includes("broken")) return post({ id, kind: "failed", code: "network", message: `${from}: the server said 404` });
  if (from.includes("large")) {
    const places = ["gpu", "ram", "disk", "network"];
    stats.places = Array.from({ length: 24 }, (_, layer) => Array.from({ length: 32 }, (_, expert) => places[(layer + expert) % 4]));
    stats.heat = stats.places.map((experts) => experts.map(() => 0));
  }
  if (from.includes("partly")) fill = { ...fill, state: "running", loaded: 3e9 };
  if (from.includes("endlessly")) return tell({ phase: "weights", loaded: 3e8, total: 1e9, model: 12e9 });
  if (from.includes("slowly")) {
    tell({ phase: "header", loaded: 0, total: 0, model: 0 });
    for (let tenths = 0; tenths < 10; tenths += 1) {
      await pause(100);
      tell({ phase: "weights", loaded: tenths * 1e8, total: 1e9, model: 12e9 });
    }
    await pause(100);
  }
  const info = { name: "Stand-in", architecture: "none", contextLength: 4096, bytes: 12e9, gpuBytes: 4e9, cache: "indexeddb" };
  post({ id, kind: "done", result: JSON.stringify({ ...info, adapter: `stand-in ${JSON.stringify({ model: from, ...options })}` }) });
}

/** Tells whoever listens of `events`; how far the fill is stays known. */
function tellAll(events) {
  fill = events.findLast(({ type }) => type === "fill") ?? fill;
  if (listener) post({ id: listener, kind: "part", json: JSON.stringify(events) });
}

/** A call with arguments, in two pieces. */
const called = (name, index) => [
  { tool_calls: [{ index, id: `call_${index + 1}`, type: "function", function: { name, arguments: '{"a":' } }] },
  { tool_calls: [{ index, function: { arguments: "1}" } }] },
];

/** What the last calls came to, each by its function. */
function results(messages) {
  const { tool_calls } = messages.findLast(({ tool_calls }) => tool_calls);
  return tool_calls.map(({ id, function: { name } }) => `${name} is ${messages.findLast(({ tool_call_id }) => tool_call_id === id).content}`);
}

/** The pieces that answer `request`, and how long each takes, in milliseconds. */
function answer(request) {
  const last = request.messages.at(-1);
  if (last.role === "tool") return { pieces: results(request.messages).map((text, n) => ({ content: (n > 0 ? ", " : "") + text })), ms: 5 };
  if (request.continue_final_message) return { pieces: [{ content: ` and on after ${last.content.length} letters.` }], ms: 5 };
  const said = last.content.startsWith("[1] ") ? last.content.split("\n\n").at(-1) : last.content;
  const [, order, text] = /^(repeat|think|slowly|call|request|break|pass|tell)\b\s?(.*)$/s.exec(said) ?? [];
  const parts = (text) => (text.match(/\s*\S+\s*/g) ?? [text]).map((content) => ({ content }));
  switch (order) {
    case "repeat":
      return { pieces: few(parts(text)), ms: 1 };
    case "think":
      return { pieces: [...parts(text).map(({ content }) => ({ reasoning: content })), { content: "Thought." }], ms: 5 };
    case "slowly":
      return { pieces: parts(text), ms: 500 };
    case "call":
      return { pieces: (text || request.tools[0].function.name).split(" ").flatMap(called), ms: 5, end: "tool_calls" };
    case "pass":
      return { pieces: [{ tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "take", arguments: JSON.stringify({ a: text }) } }] }], ms: 5, end: "tool_calls" };
    case "tell":
      tellAll(JSON.parse(text));
      return { pieces: [{ content: "Told." }], ms: 5 };
    case "break":
      return { pieces: parts(text), ms: 5, end: "failed" };
    case "request":
      return { pieces: [{ content: "```json\n" + JSON.stringify(request, undefined, 1) + "\n```" }], ms: 5 };
    default:
      return { pieces: parts(`You said: ${last.content}`), ms: 5 };
  }
}

const wordsOf = ({ content }) => (content ?? "").match(/\S+/g)?.length ?? 0;

async function chat(id, request) {
  const prompt = request.messages.reduce((sum, message) => sum + wordsOf(message), 0);
  if (prompt >= context) return post({ id, kind: "failed", code: "context_length", message: `the prompt has ${prompt} tokens, the context holds ${context}` });
  const { pieces, ms, end = "stop" } = answer(request);
  const most = Math.min(request.max_tokens ?? Infinity, context - prompt);
  const tell = (delta, finish_reason = null) => post({ id, kind: "part", json: JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] }) });
  tell({ role: "assistant" });
  for (const delta of pieces.slice(0, most)) {
    await pause(ms);
    if (stopped.has(id)) return post({ id, kind: "failed", code: "aborted", message: "stopped" });
    tell(delta);
  }
  if (end === "failed") return post({ id, kind: "failed", code: "internal", message: "it broke" });
  tell({}, pieces.length > most ? "length" : end);
  const usage = { prompt_tokens: 7, completion_tokens: Math.min(most, pieces.length), total_tokens: 0 };
  post({ id, kind: "part", json: JSON.stringify({ choices: [], usage, timings: { prefill_seconds: 0.5, prefill_tps: 14, decode_tps: 21.5 } }) });
  post({ id, kind: "done", result: "{}" });
}

self.addEventListener("message", ({ data: { id, op, ...call } }) => {
  const done = (result) => post({ id, kind: "done", result });
  switch (op) {
    case "abort":
      return stopped.add(id);
    case "load":
      return void load(id, call);
    case "answer":
      return void chat(id, JSON.parse(call.request));
    case "stats":
      return done(JSON.stringify({ ...stats, ...rest, fill }));
    case "listen":
      listener = id;
      return;
    case "fill":
      tellAll([{ ...fill, state: call.isPaused ? "paused" : "running" }]);
      return done(undefined);
    case "cacheList":
      return done(JSON.stringify(kept));
    case "cacheRemove": {
      const at = kept.findIndex(({ url }) => url === call.url);
      return done(at < 0 ? 0 : kept.splice(at, 1)[0].kept);
    }
    case "cacheEstimate":
      return done(JSON.stringify({ usage: 3.1e9, quota: 60e9, persisted: true, home: "opfs", rates: { indexeddb: 1e9, opfs: 5e9 } }));
    default:
      return done(undefined);
  }
});
