/** The page's side against a worker that the test plays. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type OpenAI from "openai";
import { cache, type ChatCompletionChunk, createEngine, type Engine, QuireError } from "../src/index.ts";
import type { FromWorker, ToWorker } from "../src/messages.ts";

/** Takes messages down and answers only when told to. */
class PlayedWorker extends EventTarget {
  static last: PlayedWorker;
  sent: ToWorker[] = [];
  isTerminated = false;

  constructor() {
    super();
    PlayedWorker.last = this;
  }
  postMessage(message: ToWorker): void {
    this.sent.push(message);
  }
  terminate(): void {
    this.isTerminated = true;
  }
  say(data: FromWorker): void {
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
  /** The next message that is not yet read, once it has been sent. */
  async next(): Promise<ToWorker> {
    for (let turn = 0; turn < 100; turn += 1) {
      const message = this.sent.shift();
      if (message) return message;
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error("nothing was sent");
  }
}

const scope = globalThis as Record<string, unknown>;

beforeEach(() => {
  scope["Worker"] = PlayedWorker;
  scope["isSecureContext"] = true;
  scope["document"] = { baseURI: "https://page.example/app/" };
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu: { requestAdapter: async () => ({}) } },
    configurable: true,
  });
});

async function loaded(): Promise<{ engine: Engine; worker: PlayedWorker }> {
  const engine = createEngine({ model: "m.gguf" });
  await new Promise((resolve) => setImmediate(resolve));
  const worker = PlayedWorker.last;
  const { id } = await worker.next();
  worker.say({ id, kind: "done", result: '{"name":"m","adapter":"a"}' });
  return { engine: await engine, worker };
}

const isAbort = (error: unknown) => error instanceof DOMException && error.name === "AbortError";
const chunk = (content: string) => JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
const said = (part: ChatCompletionChunk) => part.choices[0]?.delta.content;
const messages = [{ role: "user" as const, content: "hello" }];

test("a model's address is resolved against the page and progress is passed on", async () => {
  const seen: number[] = [];
  const engine = createEngine({ model: "m.gguf", contextLength: 9, kv: "q8_0", onProgress: ({ loaded }) => seen.push(loaded) });
  await new Promise((resolve) => setImmediate(resolve));
  const worker = PlayedWorker.last;
  const call = await worker.next();
  const options = { fill: true, contextLength: 9, kv: "q8_0", maxRamBytes: 0, usualGpuBytes: 4 * 2 ** 30 };
  assert.deepEqual(call, { id: call.id, op: "load", model: "https://page.example/app/m.gguf", options });
  worker.say({ id: call.id, kind: "part", json: '{"phase":"weights","loaded":5,"total":10}' });
  worker.say({ id: call.id, kind: "done", result: '{"name":"m"}' });
  assert.equal((await engine).info.name, "m");
  assert.deepEqual(seen, [5]);
});

test("a browser without WebGPU is refused before a worker starts", async () => {
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  await assert.rejects(createEngine({ model: "m" }), (error) => error instanceof QuireError && error.code === "no_webgpu");
});

test("a model that does not load rejects with its code and ends the worker", async () => {
  const engine = createEngine({ model: "m" });
  await new Promise((resolve) => setImmediate(resolve));
  const worker = PlayedWorker.last;
  worker.say({ id: (await worker.next()).id, kind: "failed", code: "format", message: "not a GGUF" });
  await assert.rejects(engine, { name: "QuireError", code: "format", message: "not a GGUF" });
  assert.ok(worker.isTerminated);
});

test("loading is aborted by its signal and ends the worker", async () => {
  const controller = new AbortController();
  const engine = createEngine({ model: "m", signal: controller.signal });
  await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  await assert.rejects(engine, isAbort);
  assert.ok(PlayedWorker.last.isTerminated);
});

test("an answer that does not stream comes whole", async () => {
  const { engine, worker } = await loaded();
  const answer = engine.chat.completions.create({ messages });
  const call = await worker.next();
  assert.deepEqual(call, { id: call.id, op: "answer", path: "/v1/chat/completions", request: JSON.stringify({ messages }) });
  worker.say({ id: call.id, kind: "done", result: '{"object":"chat.completion"}' });
  // As OpenAI's client types it.
  const whole: OpenAI.ChatCompletion = await answer;
  assert.equal(whole.object, "chat.completion");
});

test("a text is asked for at its own path", async () => {
  const { engine, worker } = await loaded();
  const text = engine.completions.create({ prompt: "Once" });
  const { id, ...call } = await worker.next();
  assert.deepEqual(call, { op: "answer", path: "/v1/completions", request: '{"prompt":"Once"}' });
  worker.say({ id, kind: "done", result: '{"object":"text_completion"}' });
  // As OpenAI's client types it.
  const whole: OpenAI.Completion = await text;
  assert.equal(whole.object, "text_completion");
});

test("chunks come in order, however they are bunched, and the stream ends", async () => {
  const { engine, worker } = await loaded();
  const stream = engine.chat.completions.create({ messages, stream: true });
  const { id } = await worker.next();
  for (const word of ["a", "b"]) worker.say({ id, kind: "part", json: chunk(word) });
  const got: unknown[] = [];
  for await (const part of await stream) {
    // As OpenAI's client types it.
    const { choices }: OpenAI.ChatCompletionChunk = part;
    got.push(choices[0]?.delta.content);
    if (got.length === 2) {
      worker.say({ id, kind: "part", json: chunk("c") });
      worker.say({ id, kind: "done", result: "{}" });
    }
  }
  assert.deepEqual(got, ["a", "b", "c"]);
});

test("a response is asked for at its own path, and has its text put together", async () => {
  const { engine, worker } = await loaded();
  const input = [{ role: "user" as const, content: "hello" }];
  const whole = engine.responses.create({ input });
  const { id, ...call } = await worker.next();
  assert.deepEqual(call, { op: "answer", path: "/v1/responses", request: JSON.stringify({ input }) });
  const part = (text: string) => ({ type: "output_text", text, annotations: [], logprobs: [] });
  const message = { type: "message", id: "msg_1", status: "completed", role: "assistant", content: [part("a"), part("b")] };
  worker.say({ id, kind: "done", result: JSON.stringify({ id: "resp_1", output: [{ type: "reasoning" }, message], tools: [{ name: "f" }], usage: null }) });
  const response = await whole;
  const { output_text, output } = response;
  assert.equal(output_text, "ab");
  assert.deepEqual([response.tools, "usage" in response], [[{ name: "f", parameters: null, strict: null }], false]);
  // As OpenAI's client types them.
  const items: OpenAI.Responses.ResponseOutputItem[] = output;
  assert.deepEqual(items[1], message);

  const events = engine.responses.create({ input, stream: true });
  const stream = await worker.next();
  const event = { type: "response.output_text.delta", delta: "a", sequence_number: 4 };
  const created = { type: "response.created", response: { id: "resp_2", output: [], tools: [], usage: null } };
  for (const part of [created, event]) worker.say({ id: stream.id, kind: "part", json: JSON.stringify(part) });
  worker.say({ id: stream.id, kind: "done", result: "{}" });
  const got: unknown[] = [];
  for await (const event of await events) got.push(event);
  assert.deepEqual(got, [{ ...created, response: { id: "resp_2", output: [], tools: [], output_text: "" } }, event]);
});

test("a request that is refused rejects where it is made", async () => {
  const { engine, worker } = await loaded();
  const stream = engine.chat.completions.create({ messages, stream: true });
  worker.say({ id: (await worker.next()).id, kind: "failed", code: "context_length", message: "too long" });
  await assert.rejects(stream, { code: "context_length" });
});

test("an answer that fails midway gives what there was, then the error", async () => {
  const { engine, worker } = await loaded();
  const stream = engine.chat.completions.create({ messages, stream: true });
  const { id } = await worker.next();
  worker.say({ id, kind: "part", json: chunk("a") });
  worker.say({ id, kind: "failed", code: "device_lost", message: "gone" });
  const got: unknown[] = [];
  await assert.rejects(
    async () => {
      for await (const part of await stream) got.push(said(part));
    },
    { code: "device_lost" },
  );
  assert.deepEqual(got, ["a"]);
});

test("leaving the loop early stops the answer in the worker", async () => {
  const { engine, worker } = await loaded();
  const stream = engine.chat.completions.create({ messages, stream: true });
  const { id } = await worker.next();
  worker.say({ id, kind: "part", json: chunk("a") });
  for await (const _ of await stream) break;
  assert.deepEqual(await worker.next(), { id, op: "abort" });
});

test("text that was cut within a letter is asked as far as it goes", async () => {
  const { engine, worker } = await loaded();
  void engine.chat.completions.create({ messages: [{ role: "user", content: "\ud83d\ude00 and \ud83d" }] });
  const { request } = (await worker.next()) as unknown as { request: string };
  assert.deepEqual(JSON.parse(request), { messages: [{ role: "user", content: "😀 and \ufffd" }] });
});

test("a stream that is left before it is read, or while it is waited for, stops the answer too", async () => {
  const { engine, worker } = await loaded();
  for (const isWaiting of [false, true]) {
    const created = engine.chat.completions.create({ messages, stream: true });
    const { id } = await worker.next();
    worker.say({ id, kind: "part", json: chunk("a") });
    const iterator = (await created)[Symbol.asyncIterator]();
    if (isWaiting) await iterator.next();
    const next = isWaiting ? assert.rejects(iterator.next(), isAbort) : undefined;
    await iterator.return?.();
    await next;
    assert.deepEqual(await worker.next(), { id, op: "abort" });
    assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  }
});

test("an aborted stream rejects with an AbortError and what comes late is dropped", async () => {
  const { engine, worker } = await loaded();
  const controller = new AbortController();
  const stream = engine.chat.completions.create({ messages, stream: true }, { signal: controller.signal });
  const { id } = await worker.next();
  worker.say({ id, kind: "part", json: chunk("a") });
  const parts = (await stream)[Symbol.asyncIterator]();
  assert.equal(said((await parts.next()).value), "a");
  const next = parts.next();
  controller.abort();
  worker.say({ id, kind: "part", json: chunk("late") });
  await assert.rejects(next, isAbort);
  assert.deepEqual(await worker.next(), { id, op: "abort" });
});

test("a signal that was aborted before sends nothing", async () => {
  const { engine, worker } = await loaded();
  const signal = AbortSignal.abort();
  await assert.rejects(engine.chat.completions.create({ messages }, { signal }), isAbort);
  await assert.rejects(engine.chat.completions.create({ messages, stream: true }, { signal }), isAbort);
  assert.deepEqual(worker.sent, []);
});

test("a text or a chat is made into tokens", async () => {
  const { engine, worker } = await loaded();
  for (const [input, args] of [
    ["hello", { text: "hello" }],
    [{ messages }, { request: JSON.stringify({ messages }) }],
  ] as const) {
    const ids = engine.tokenize(typeof input === "string" ? input : { messages: [...input.messages] });
    const { id, ...call } = await worker.next();
    assert.deepEqual(call, { op: "tokenize", ...args });
    worker.say({ id, kind: "done", result: Uint32Array.of(7, 8) });
    assert.deepEqual(await ids, Uint32Array.of(7, 8));
  }
});

test("a worker that was started by somebody else is taken, and ends with the engine", async () => {
  const worker = new PlayedWorker();
  const loading = createEngine({ model: "m.gguf", worker: worker as unknown as Worker });
  const { id } = await worker.next();
  worker.say({ id, kind: "done", result: "{}" });
  await (await loading).unload();
  assert.equal(PlayedWorker.last, worker);
  assert.ok(worker.isTerminated);
});

test("two calls under way do not mix", async () => {
  const { engine, worker } = await loaded();
  const first = engine.chat.completions.create({ messages });
  const second = engine.stats();
  const [a, b] = [await worker.next(), await worker.next()];
  worker.say({ id: b.id, kind: "done", result: '{"hits":3}' });
  worker.say({ id: a.id, kind: "done", result: '{"id":"x"}' });
  assert.deepEqual(await second, { hits: 3 });
  assert.equal((await first).id, "x");
});

test("a worker that dies rejects every call, now and later", async () => {
  const { engine, worker } = await loaded();
  const under_way = engine.stats();
  worker.dispatchEvent(Object.assign(new Event("error"), { message: "unreachable" }));
  await assert.rejects(under_way, { code: "internal" });
  await assert.rejects(engine.stats(), { code: "internal" });
});

test("unloading ends the worker and aborts what is under way", async () => {
  const { engine, worker } = await loaded();
  const under_way = engine.chat.completions.create({ messages });
  await engine.unload();
  assert.ok(worker.isTerminated);
  await assert.rejects(under_way, isAbort);
  await assert.rejects(engine.stats(), { code: "invalid_request" });
});

test("what does not stop the work is told as a warning, also after loading", async () => {
  const warnings: QuireError[] = [];
  const loading = createEngine({ model: "m.gguf", cache: "opfs", onWarning: (warning) => warnings.push(warning) });
  await new Promise((resolve) => setImmediate(resolve));
  const worker = PlayedWorker.last;
  const call = await worker.next();
  assert.ok(call.op === "load");
  assert.equal(call.options.cache, "opfs");
  worker.say({ kind: "warning", json: '{"code":"unsupported","message":"no storage"}' });
  worker.say({ id: call.id, kind: "done", result: '{"name":"m"}' });
  await loading;
  worker.say({ kind: "warning", json: '{"code":"quota","message":"full"}' });
  assert.deepEqual(
    warnings.map(({ code, message }) => [code, message]),
    [
      ["unsupported", "no storage"],
      ["quota", "full"],
    ],
  );
});

test("the cache needs no WebGPU, resolves URLs against the page, and starts anew after a failure", async () => {
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  const has = cache.has("m.gguf");
  const worker = PlayedWorker.last;
  const call = await worker.next();
  assert.ok(call.op === "cacheHas");
  assert.equal(call.url, "https://page.example/app/m.gguf");
  worker.say({ id: call.id, kind: "done", result: true });
  assert.equal(await has, true);

  const removing = cache.remove("m.gguf");
  worker.say({ id: (await worker.next()).id, kind: "failed", code: "unsupported", message: "no storage" });
  await assert.rejects(removing, { code: "unsupported" });
  assert.ok(worker.isTerminated);

  const listing = cache.list();
  assert.notEqual(PlayedWorker.last, worker);
  const next = PlayedWorker.last;
  next.say({ id: (await next.next()).id, kind: "failed", code: "unsupported", message: "no storage" });
  await assert.rejects(listing);
});

test("every call of the cache ends at its signal", async () => {
  const calls = {
    list: (options: { signal: AbortSignal }) => cache.list(options),
    size: (options) => cache.size(options),
    has: (options) => cache.has("m.gguf", options),
    add: (options) => cache.add("m.gguf", options),
    remove: (options) => cache.remove("m.gguf", options),
    verify: (options) => cache.verify("m.gguf", options),
    export: (options) => cache.export("m.gguf", options),
    import: (options) => cache.import(new Blob(), "m.gguf", options),
    estimate: (options) => cache.estimate(options),
  } satisfies { [K in keyof typeof cache]: (options: { signal: AbortSignal }) => Promise<unknown> };
  for (const [name, call] of Object.entries(calls)) {
    const stop = new AbortController();
    const called = call({ signal: stop.signal });
    const { id } = await PlayedWorker.last.next();
    stop.abort();
    await assert.rejects(called, { name: "AbortError" }, name);
    assert.deepEqual(await PlayedWorker.last.next(), { id, op: "abort" }, name);
  }
});

test("an export is read piece by piece, as it is wanted, and ends its worker", async () => {
  const exporting = cache.export("m.gguf");
  const worker = PlayedWorker.last;
  worker.say({ id: (await worker.next()).id, kind: "done", result: 3 });
  const reader = (await exporting).getReader();
  assert.equal(worker.sent.length, 0);
  const read = reader.read();
  const call = await worker.next();
  assert.ok(call.op === "cacheRead" && call.start === 0);
  worker.say({ id: call.id, kind: "done", result: Uint8Array.of(1, 2, 3) });
  assert.deepEqual((await read).value, Uint8Array.of(1, 2, 3));
  const last = reader.read();
  const end = await worker.next();
  assert.ok(end.op === "cacheRead" && end.start === 3);
  worker.say({ id: end.id, kind: "done", result: new Uint8Array() });
  assert.equal((await last).done, true);
  assert.ok(worker.isTerminated);
});

test("events come to those who listen, and nobody is asked once nobody does", async () => {
  const { engine, worker } = await loaded();
  const seen: string[] = [];
  const ends = [
    engine.on("paging", (event) => seen.push(`1 ${event.type}`)),
    engine.on("paging", (event) => seen.push(`2 ${event.type}`)),
    engine.on("fill", ({ state, loaded }) => seen.push(`${state} ${loaded}`)),
  ];
  const { id, op } = await worker.next();
  assert.equal(op, "listen");
  const events = [{ type: "replay", layer: 3 }, { type: "fill", state: "running", loaded: 5, total: 9 }];
  worker.say({ id, kind: "part", json: JSON.stringify(events) });
  assert.deepEqual(seen, ["1 replay", "2 replay", "running 5"]);

  ends[0]!();
  worker.say({ id, kind: "part", json: JSON.stringify(events.slice(0, 1)) });
  assert.deepEqual(seen.slice(3), ["2 replay"]);
  ends.slice(1).forEach((end) => end());
  assert.deepEqual(await worker.next(), { id, op: "abort" });
  engine.on("paging", () => {});
  assert.equal((await worker.next()).op, "listen");
  assert.equal(worker.sent.length, 0);
});

test("the fill is paused and resumed, and begins paused where the browser saves data", async () => {
  const { engine, worker } = await loaded();
  for (const isPaused of [true, false]) {
    const done = isPaused ? engine.pauseFill() : engine.resumeFill();
    const call = await worker.next();
    assert.equal(call.op === "fill" && call.isPaused, isPaused);
    worker.say({ id: call.id, kind: "done", result: undefined });
    await done;
  }
  const gpu = { requestAdapter: async () => ({}) };
  Object.defineProperty(globalThis, "navigator", { value: { gpu, connection: { saveData: true } }, configurable: true });
  for (const [options, fill] of [[{}, false], [{ fill: true }, true]] as const) {
    void createEngine({ model: "m.gguf", ...options });
    await new Promise((resolve) => setImmediate(resolve));
    const call = await PlayedWorker.last.next();
    assert.equal(call.op === "load" && call.options.fill, fill);
  }
});

test("a model gets half of the device's memory, its experts a part beside, but on phones, small devices, or where it is not told", async () => {
  const GiB = 2 ** 30;
  const devices = [
    [{ deviceMemory: 8 }, GiB, 4 * GiB],
    [{ deviceMemory: 32, userAgentData: { mobile: false } }, 7 * GiB, 16 * GiB],
    [{ deviceMemory: 8, userAgentData: { mobile: true } }, 0, 2 * GiB],
    [{ userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1" }, 0, 2 * GiB],
    [{ deviceMemory: 4 }, 0, 2 * GiB],
    [{ deviceMemory: 0.5 }, 0, GiB / 4],
    [{}, 0, 4 * GiB],
  ] as const;
  for (const [device, expected, usual] of devices) {
    const gpu = { requestAdapter: async () => ({}) };
    Object.defineProperty(globalThis, "navigator", { value: { gpu, ...device }, configurable: true });
    for (const [options, bytes] of [[{}, expected], [{ maxRamBytes: 5 }, 5], [{ maxRamBytes: 0 }, 0]] as const) {
      void createEngine({ model: "m.gguf", ...options });
      await new Promise((resolve) => setImmediate(resolve));
      const call = await PlayedWorker.last.next();
      assert.equal(call.op === "load" && call.options.maxRamBytes, bytes, JSON.stringify(device));
      assert.equal(call.op === "load" && call.options.usualGpuBytes, usual, JSON.stringify(device));
    }
  }
});

test("outside a browser everything rejects with a code, and nothing breaks", async () => {
  delete scope["Worker"];
  delete scope["isSecureContext"];
  Object.defineProperty(globalThis, "navigator", { value: undefined, configurable: true });
  await assert.rejects(createEngine({ model: "m.gguf" }), { name: "QuireError", code: "no_webgpu" });
  await assert.rejects(cache.list(), { name: "QuireError", code: "unsupported" });
});
