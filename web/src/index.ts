/**
 * Quire: gpt-oss models in a browser tab, behind OpenAI's chat API.
 *
 * ```ts
 * const engine = await createEngine({ model: "https://example.com/model.gguf" });
 * const answer = await engine.chat.completions.create({ messages: [{ role: "user", content: "Hello" }] });
 * ```
 */

import { absolute, askToPersist } from "./cache.ts";
import { Client } from "./client.ts";
import { QuireError } from "./errors.ts";
import { Events } from "./events.ts";
import { toJson } from "./json.ts";
import { defaultRamBytes, usualGpuBytes, type Device } from "./memory.ts";
import type { Path } from "./relay.ts";
import { complete, type Response, type ResponseRequest, type ResponseStreamEvent } from "./responses.ts";
import { serve, type Server, type Work } from "./serve.ts";
import { startWorker } from "./start.ts";
import { createStream } from "./stream.ts";
import { isSupported } from "./support.ts";
import type {
  CacheHome,
  ChatCompletion,
  ChatCompletionChunk,
  ChatRequest,
  CompletionRequest,
  EngineEvents,
  EngineInfo,
  KvType,
  Manifest,
  Progress,
  Stats,
  TextCompletion,
  TextCompletionChunk,
} from "./types.ts";

export { type Abortable, cache, type Cache } from "./cache.ts";
export { QuireError, type ErrorCode } from "./errors.ts";
export type { Server } from "./serve.ts";
export { isSupported, type Support } from "./support.ts";
export type * from "./responses.ts";
export type * from "./types.ts";

/** What {@link createEngine} is told. Only `model` must be said. */
export interface EngineOptions {
  /** URL of a GGUF file (the first of its shards, if it has several), or a file that the user chose. */
  model: string | File;
  /** Told how far loading is, several times a second. */
  onProgress?: (progress: Progress) => void;
  /** Aborts loading. */
  signal?: AbortSignal;
  /** Tokens of context to make room for. */
  contextLength?: number;
  /**
   * GPU memory that may be used, in bytes; with less than all of a model its experts come and go, and too little is refused. By default
   * half of what the device says it has, a quarter on phones, as of 8 GiB where it does not say (Firefox, Safari), or as much more as the
   * model cannot do without.
   */
  maxGpuBytes?: number;
  /** How keys and values are kept; by default as `f16`. `q8_0` takes 9/16 of that and costs a little accuracy, `f32` takes twice as much. */
  kv?: KvType;
  /**
   * Memory beside the GPU's for experts that have no room there, in bytes: they come back from it without disk or network. 0 is none,
   * and so is less than one expert. By default a quarter of what the device has beyond 4 GiB (1 GiB of 8, 3 of 16), and
   * none on phones or where the browser does not tell how much there is, as Firefox and Safari do not.
   */
  maxRamBytes?: number;
  /** Where what comes over the network is kept for the next visit; by default the place that reads faster here. */
  cache?: CacheHome;
  /**
   * Whether the rest of the model is fetched in the background once the first answer has begun. By default it is, unless
   * the browser is set to save data.
   */
  fill?: boolean;
  /** Bearer token for a model that not everybody may read: sent to the URL's own origin alone, and kept nowhere. */
  token?: string;
  /** What the files must be, if that is known. */
  manifest?: Manifest;
  /**
   * Told of what does not stop the work, now and later: that nothing can be kept here, or a manifest's sums not be checked
   * (`unsupported`), that another tab imports the model (`busy`), that the storage is full (`quota`), that another version is
   * on the server, or that a file is not what its manifest says (`integrity`).
   */
  onWarning?: (warning: QuireError) => void;
  /**
   * A worker that runs `quire/worker`, started by you, for bundlers that do not find the package's own; the engine ends it. By default
   * the package starts one from beside itself.
   */
  worker?: Worker;
}

/** What may be said of one call beside its request. */
export interface CallOptions {
  /** Stops the answer; the call, or the loop over its stream, then rejects with a `DOMException` named `AbortError`. */
  signal?: AbortSignal;
}

/**
 * OpenAI's chat completions. Calls reject with a {@link QuireError}: `invalid_request` for what cannot be asked,
 * `context_length` for a conversation that does not fit, `busy` while another answer is made.
 */
export interface Completions {
  /** Streams chunks. Leaving the loop early stops the answer. */
  create(body: ChatRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<ChatCompletionChunk>>;
  /** Resolves to the whole answer. */
  create(body: ChatRequest & { stream?: false | null }, options?: CallOptions): Promise<ChatCompletion>;
  /** Either, where only running tells. */
  create(body: ChatRequest, options?: CallOptions): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>>;
}

/** OpenAI's text completions: raw text, no chat format around it. Calls reject as those of {@link Completions} do. */
export interface TextCompletions {
  /** Streams parts. Leaving the loop early stops the answer. */
  create(body: CompletionRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<TextCompletionChunk>>;
  /** Resolves to the whole text. */
  create(body: CompletionRequest & { stream?: false | null }, options?: CallOptions): Promise<TextCompletion>;
  /** Either, where only running tells. */
  create(body: CompletionRequest, options?: CallOptions): Promise<TextCompletion | AsyncIterable<TextCompletionChunk>>;
}

/**
 * OpenAI's responses: a chat's answer as items. Nothing is stored, so that who goes on with a conversation sends all of its items again.
 * Calls reject as those of {@link Completions} do.
 */
export interface Responses {
  /** Streams events. Leaving the loop early stops the answer. */
  create(body: ResponseRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<ResponseStreamEvent>>;
  /** Resolves to the whole response. */
  create(body: ResponseRequest & { stream?: false | null }, options?: CallOptions): Promise<Response>;
  /** Either, where only running tells. */
  create(body: ResponseRequest, options?: CallOptions): Promise<Response | AsyncIterable<ResponseStreamEvent>>;
}

/** One model, loaded. It answers one request at a time. `await using` unloads it at the end of the block. */
export interface Engine extends AsyncDisposable {
  /** `engine.chat.completions.create({ messages })` */
  readonly chat: { readonly completions: Completions };
  /** `engine.completions.create({ prompt })` */
  readonly completions: TextCompletions;
  /** `engine.responses.create({ input })` */
  readonly responses: Responses;
  /** What was loaded, and onto what. */
  readonly info: EngineInfo;
  /**
   * Token ids, `[n]`: of a text, in which control tokens that are spelled stay text; or of all that a chat request puts before the
   * answer, so that `ids.length` are its `prompt_tokens`. Also while an answer is made.
   */
  tokenize(input: string | Pick<ChatRequest, "messages" | "tools" | "reasoning_effort">): Promise<Uint32Array>;
  /** What the model has cost so far. Also while an answer is made. */
  stats(): Promise<Stats>;
  /** Calls `listener` with everything that happens from now on, some 50 ms after it; returns how to stop that. */
  on<K extends keyof EngineEvents>(name: K, listener: (event: EngineEvents[K]) => void): () => void;
  /** Stops fetching what nobody waits for. */
  pauseFill(): Promise<void>;
  /** Goes on with it, or tries again after it has stopped. */
  resumeFill(): Promise<void>;
  /** Logits at every position, row by row, `[ids.length, vocabulary]`; for tests of the engine. */
  logits(ids: Uint32Array, options?: { kvF16?: boolean }): Promise<Float32Array>;
  /**
   * Answers OpenAI's API on the page's own origin: from then on an `openai` client of any page of this site that is given the `baseURL`
   * talks to this engine, one request after the other, though 16 may wait. `serviceWorker` is where the site serves
   * `quire/service-worker`, at its root; or the registration of a service worker of the site's own that imports it.
   *
   * Rejects with a {@link QuireError}: `unsupported` where the browser has no service workers or this one cannot be registered.
   */
  serve(serviceWorker: string | URL | ServiceWorkerRegistration): Promise<Server>;
  /** Frees the model and ends its worker; calls under way are aborted. */
  unload(): Promise<void>;
}

/**
 * Loads a model into a worker of its own: what every token needs; experts come when they are asked for.
 *
 * Rejects with a `DOMException` named `AbortError` if `signal` fires, else with a {@link QuireError}: `no_webgpu` where there is no GPU
 * to run on, `network` if the model cannot be fetched, `format` or `unsupported` if it is none that can be run, `out_of_memory` if it
 * does not fit.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { model, onProgress, onWarning, signal, contextLength, maxGpuBytes, kv, cache, token, manifest } = options;
  const support = await isSupported();
  if (!support.ok) {
    options.worker?.terminate();
    throw new QuireError("no_webgpu", support.reason);
  }
  const maxRamBytes = options.maxRamBytes ?? defaultRamBytes(navigator as Device);
  const fill = options.fill ?? !savesData();
  const client = new Client(options.worker ?? startWorker(), onWarning);
  if (typeof model === "string" && cache !== "none") askToPersist();
  try {
    const info = await client.call(
      "load",
      {
        // The worker's own URL is another base than the page's.
        model: typeof model === "string" ? absolute(model) : model,
        options: {
          fill,
          maxRamBytes,
          usualGpuBytes: usualGpuBytes(navigator as Device),
          ...(contextLength !== undefined && { contextLength }),
          ...(maxGpuBytes !== undefined && { maxGpuBytes }),
          ...(kv !== undefined && { kv }),
          ...(cache !== undefined && { cache }),
          ...(token !== undefined && { token }),
          ...(manifest !== undefined && { manifest }),
        },
      },
      (json) => onProgress?.(JSON.parse(json) as Progress),
      signal,
    );
    return new WorkerEngine(client, JSON.parse(info) as EngineInfo);
  } catch (error) {
    client.terminate();
    throw error;
  }
}

/** Whether the browser is set to save data, where it tells. */
function savesData(): boolean {
  const { connection } = navigator as { connection?: { saveData?: boolean } };
  return connection?.saveData === true;
}

/** A response as the worker tells it. */
type Told = Parameters<typeof complete>[0];

/** Of every request: whether its answer comes in parts. */
interface Streaming {
  stream?: boolean | null;
}

class WorkerEngine implements Engine {
  readonly info: EngineInfo;
  readonly chat: { readonly completions: Completions };
  readonly completions: TextCompletions;
  readonly responses: Responses;
  #client: Client;
  #events: Events;
  #servers = new Set<Server>();

  constructor(client: Client, info: EngineInfo) {
    this.#client = client;
    this.#events = new Events(client);
    this.info = info;
    const create = (path: Path) => (body: Streaming, options?: CallOptions) => this.#answer(path, body, options);
    const event = (told: { response?: Told }) => (told.response ? { ...told, response: complete(told.response) } : told);
    const respond = (body: Streaming, options?: CallOptions) =>
      this.#answer("/v1/responses", body, options, (told) => (body.stream ? event(told) : complete(told as Told)));
    this.chat = { completions: { create: create("/v1/chat/completions") as Completions["create"] } };
    this.completions = { create: create("/v1/completions") as TextCompletions["create"] };
    this.responses = { create: respond as Responses["create"] };
  }

  /** `dress` makes what the worker says into what is given. */
  async #answer(path: Path, body: Streaming, { signal }: CallOptions = {}, dress = (told: object): unknown => told): Promise<unknown> {
    const request = toJson(body);
    const read = (json: string) => dress(JSON.parse(json) as object);
    if (body.stream) return createStream((onPart, stop) => this.#client.call("answer", { path, request }, onPart, stop), read, signal);
    return read(await this.#client.call("answer", { path, request }, undefined, signal));
  }

  tokenize(input: string | Pick<ChatRequest, "messages">): Promise<Uint32Array> {
    return this.#client.call("tokenize", typeof input === "string" ? { text: input } : { request: toJson(input) });
  }

  async stats(): Promise<Stats> {
    return JSON.parse(await this.#client.call("stats", {})) as Stats;
  }

  on<K extends keyof EngineEvents>(name: K, listener: (event: EngineEvents[K]) => void): () => void {
    return this.#events.on(name, listener);
  }

  pauseFill(): Promise<void> {
    return this.#client.call("fill", { isPaused: true });
  }

  resumeFill(): Promise<void> {
    return this.#client.call("fill", { isPaused: false });
  }

  logits(ids: Uint32Array, { kvF16 = false } = {}): Promise<Float32Array> {
    return this.#client.call("logits", { ids, kvF16 });
  }

  async serve(serviceWorker: string | URL | ServiceWorkerRegistration): Promise<Server> {
    const work: Work = (path, request, onAnswer, signal) => this.#client.call("respond", { path, request }, onAnswer, signal);
    const server = await serve(work, this.info.name, serviceWorker);
    this.#servers.add(server);
    return server;
  }

  async unload(): Promise<void> {
    for (const server of this.#servers) await server.close();
    // The worker owns every byte of the model; with it goes all of it.
    this.#client.terminate();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unload();
  }
}
