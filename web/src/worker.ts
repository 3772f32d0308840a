/** The engine's side: one model in one worker, calls answered as they finish. */

import type { ErrorCode } from "./errors.ts";
import type { Calls, FromWorker, Op, ToWorker } from "./messages.ts";
import init, * as wasm from "./wasm/quire_web.js";

const codes: ReadonlySet<string> = new Set<ErrorCode>([
  "no_webgpu",
  "device_lost",
  "out_of_memory",
  "network",
  "integrity",
  "quota",
  "format",
  "unsupported",
  "context_length",
  "busy",
  "invalid_request",
  "internal",
]);

// wgpu knows no browser's subgroups, which kernels add up in where a device has them: so each is asked for with them.
const { requestDevice } = globalThis.GPUAdapter?.prototype ?? {};
if (requestDevice) {
  GPUAdapter.prototype.requestDevice = function (descriptor) {
    const without = () => requestDevice.call(this, descriptor);
    if (!this.features.has("subgroups")) return without();
    const requiredFeatures = [...(descriptor?.requiredFeatures ?? []), "subgroups" as const];
    return requestDevice.call(this, { ...descriptor, requiredFeatures }).catch(without);
  };
}

// Named here: the glue itself does not know where its module lies.
const started = init({ module_or_path: new URL("./wasm/quire_web_bg.wasm", import.meta.url) });
// A failure to start is reported by the call that needs the module.
started.catch(() => {});

let quire: wasm.Quire | undefined;
let reader: wasm.CacheReader | undefined;
const running = new Map<number, AbortController>();

function post(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

function loaded(): wasm.Quire {
  if (!quire) throw { code: "invalid_request", message: "No model is loaded." };
  return quire;
}

async function work(call: Extract<ToWorker, { op: Op }>, signal: AbortSignal): Promise<Calls[Op]["result"]> {
  await started;
  const part = (json: string) => post({ id: call.id, kind: "part", json });
  switch (call.op) {
    case "load": {
      const warn = (json: string) => post({ kind: "warning", json });
      const next = await wasm.Quire.load(call.model, call.options, part, warn, signal);
      quire?.free();
      quire = next;
      return next.info();
    }
    case "answer":
      return await loaded().answer(call.path, call.request, part, signal);
    case "respond":
      await loaded().respond(call.path, call.request, part, signal);
      return undefined;
    case "logits":
      return await loaded().logits(call.ids, call.kvF16);
    case "tokenize":
      return "text" in call ? loaded().tokenize(call.text) : loaded().tokenizeChat(call.request);
    case "stats":
      return loaded().stats();
    case "listen":
      return await listen(loaded(), part, signal);
    case "fill":
      if (call.isPaused) loaded().pauseFill();
      else loaded().resumeFill();
      return undefined;
    case "cacheList":
      return await wasm.cacheList();
    case "cacheHas":
      return await wasm.cacheHas(call.url);
    case "cacheRemove":
      return await wasm.cacheRemove(call.url);
    case "cacheAdd":
      return await wasm.cacheAdd(call.url, call.home, call.token, call.manifest, part, signal);
    case "cacheVerify":
      return await wasm.cacheVerify(call.url, part, signal);
    case "cacheImport":
      await wasm.cacheImport(call.file, call.url, part, signal);
      return undefined;
    case "cacheEstimate":
      return await wasm.cacheEstimate();
    case "cacheOpen":
      reader?.free();
      reader = undefined;
      reader = await wasm.CacheReader.open(call.url);
      return reader.size();
    case "cacheRead": {
      if (!reader) throw { code: "invalid_request", message: "No file is open." };
      const bytes = await reader.read(call.start, call.end);
      if (bytes.length === 0) {
        reader.free();
        reader = undefined;
      }
      return bytes;
    }
  }
}

/** How long events are collected: a token has some for each layer. */
const BUNCH_MS = 50;

/** Passes on what happens until `signal` is aborted. */
function listen(quire: wasm.Quire, part: (json: string) => void, signal: AbortSignal): Promise<undefined> {
  let bunch: string[] = [];
  const flush = () => {
    part(`[${bunch.join()}]`);
    bunch = [];
  };
  quire.listen((json) => {
    if (bunch.push(json) === 1) setTimeout(flush, BUNCH_MS);
  });
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => {
      quire.listen();
      resolve(undefined);
    });
  });
}

/** A thrown value as the page is told of it. */
function failure(id: number, thrown: unknown, signal: AbortSignal): FromWorker {
  const { code, name, message } = (thrown ?? {}) as { code?: unknown; name?: unknown; message?: unknown };
  const words = typeof message === "string" ? message : String(thrown);
  if (signal.aborted || name === "AbortError") return { id, kind: "failed", code: "aborted", message: words };
  const known = typeof code === "string" && codes.has(code) ? (code as ErrorCode) : "internal";
  return { id, kind: "failed", code: known, message: words };
}

self.addEventListener("message", async ({ data: call }: MessageEvent<ToWorker>) => {
  if (call.op === "abort") {
    running.get(call.id)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(call.id, controller);
  try {
    const result = await work(call, controller.signal);
    post({ id: call.id, kind: "done", result }, ArrayBuffer.isView(result) ? [result.buffer] : []);
  } catch (thrown) {
    post(failure(call.id, thrown, controller.signal));
  } finally {
    running.delete(call.id);
  }
});
