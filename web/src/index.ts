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
import { defaultRamBytes, type Device } from "./memory.ts";
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
  Manifest,
  Progress,
  Stats,
  TextCompletion,
} from "./types.ts";

export { cache, type Cache } from "./cache.ts";
export { QuireError, type ErrorCode } from "./errors.ts";
export { isSupported, type Support } from "./support.ts";
export type * from "./types.ts";

export interface EngineOptions {
  /** URL of a GGUF file (the first of its shards, if it has several), or a file that the user chose. */
  model: string | File;
  onProgress?: (progress: Progress) => void;
  /** Aborts loading. */
  signal?: AbortSignal;
  /** Tokens of context to make room for. */
  contextLength?: number;
  /** GPU memory that may be used, in bytes. */
  maxGpuBytes?: number;
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
   * Told of what does not stop the work, now and later: that nothing can be kept here (`unsupported`), that the
   * storage is full (`quota`), that another version is on the server, or that a file is not
   * what its manifest says (`integrity`).
   */
  onWarning?: (warning: QuireError) => void;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Completions {
  /** Streams chunks. Leaving the loop early stops the answer. */
  create(body: ChatRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<ChatCompletionChunk>>;
  create(body: ChatRequest & { stream?: false }, options?: CallOptions): Promise<ChatCompletion>;
}

/** Raw text, no chat format around it. */
export interface TextCompletions {
  /** Streams parts. Leaving the loop early stops the answer. */
  create(body: CompletionRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<TextCompletion>>;
  create(body: CompletionRequest & { stream?: false }, options?: CallOptions): Promise<TextCompletion>;
}

export interface Engine extends AsyncDisposable {
  readonly chat: { readonly completions: Completions };
  readonly completions: TextCompletions;
  readonly info: EngineInfo;
  /** Also while an answer is made. */
  stats(): Promise<Stats>;
  /** Calls `listener` with everything that happens from now on, some 50 ms after it; returns how to stop that. */
  on<K extends keyof EngineEvents>(name: K, listener: (event: EngineEvents[K]) => void): () => void;
  /** Stops fetching what nobody waits for. */
  pauseFill(): Promise<void>;
  /** Goes on with it, or tries again after it has stopped. */
  resumeFill(): Promise<void>;
  /** Logits at every position, row by row, `[ids.length, vocabulary]`; for tests of the engine. */
  logits(ids: Uint32Array, options?: { kvF16?: boolean }): Promise<Float32Array>;
  /** Frees the model and ends its worker; calls under way are aborted. */
  unload(): Promise<void>;
}

/**
 * Loads a model into a worker of its own.
 *
 * Rejects with a {@link QuireError}, or with an `AbortError` if `signal` fires.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { model, onProgress, onWarning, signal, contextLength, maxGpuBytes, cache, token, manifest } = options;
  const maxRamBytes = options.maxRamBytes ?? defaultRamBytes(navigator as Device);
  const fill = options.fill ?? !savesData();
  const support = await isSupported();
  if (!support.ok) throw new QuireError("no_webgpu", support.reason);
  const client = new Client(new Worker(new URL("./worker.js", import.meta.url), { type: "module" }), onWarning);
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
          ...(contextLength !== undefined && { contextLength }),
          ...(maxGpuBytes !== undefined && { maxGpuBytes }),
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

class WorkerEngine implements Engine {
  readonly info: EngineInfo;
  readonly chat: { readonly completions: Completions };
  readonly completions: TextCompletions;
  #client: Client;
  #events: Events;

  constructor(client: Client, info: EngineInfo) {
    this.#client = client;
    this.#events = new Events(client);
    this.info = info;
    const chat = (body: ChatRequest, options?: CallOptions) =>
      this.#answer<ChatCompletion, ChatCompletionChunk>("chat", body, options);
    const complete = (body: CompletionRequest, options?: CallOptions) =>
      this.#answer<TextCompletion, TextCompletion>("complete", body, options);
    this.chat = { completions: { create: chat as Completions["create"] } };
    this.completions = { create: complete as TextCompletions["create"] };
  }

  async #answer<Whole, Part>(
    op: "chat" | "complete",
    body: { stream?: boolean },
    { signal }: CallOptions = {},
  ): Promise<Whole | AsyncIterable<Part>> {
    const request = JSON.stringify(body);
    if (body.stream) {
      return createStream<Part>((onPart, stop) => this.#client.call(op, { request }, onPart, stop), signal);
    }
    return JSON.parse(await this.#client.call(op, { request }, undefined, signal)) as Whole;
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

  async unload(): Promise<void> {
    // The worker owns every byte of the model; with it goes all of it.
    this.#client.terminate();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unload();
  }
}
