/** The surface of the wasm module, as the worker uses it. */

import type { KvType, Manifest } from "../types.ts";

export interface LoadOptions {
  /** Tokens of context to make room for. */
  contextLength?: number;
  /** GPU memory that may be used, in bytes. */
  maxGpuBytes?: number;
  /** To do with where that says nothing, unless the model cannot. */
  usualGpuBytes?: number;
  kv?: KvType;
  /** Memory for experts that the GPU has no room for, in bytes; none if nothing is said. */
  maxRamBytes?: number;
  /** Whether the background fill begins by itself; it does if nothing is said. */
  fill?: boolean;
  /** Where what comes over the network is kept. */
  cache?: "auto" | "indexeddb" | "opfs" | "none";
  /** Bearer token, for the URL's own origin alone. */
  token?: string;
  manifest?: Manifest;
}

/** A loaded model. Methods reject with `{ code, message }`, or with an `AbortError`. */
export class Quire {
  private constructor();
  /** `onProgress` is given the JSON of a `Progress`, `onWarning` of `{ code, message }`, also later. */
  static load(
    model: string | File,
    options: LoadOptions,
    onProgress: (json: string) => void,
    onWarning: (json: string) => void,
    signal?: AbortSignal,
  ): Promise<Quire>;
  /** JSON of an `EngineInfo`. */
  info(): string;
  /**
   * Takes the JSON of a request that OpenAI's servers take at `path`, such as `/v1/responses`; gives the JSON of each part to `onPart`, if
   * it asks for a stream; resolves to the whole answer's.
   */
  answer(path: string, request: string, onPart: (part: string) => void, signal?: AbortSignal): Promise<string>;
  /** The same as by HTTP: gives the JSON of each `Answer`, failures too. At `/v1/models` the request is a name, which is refused if it is not the model's. */
  respond(path: string, request: string, onAnswer: (answer: string) => void, signal?: AbortSignal): Promise<void>;
  /** Ids of a text, in which control tokens that are spelled stay text. */
  tokenize(text: string): Uint32Array;
  /** Ids of the prompt that the JSON of an OpenAI chat request makes. */
  tokenizeChat(request: string): Uint32Array;
  /** Logits at every position, row by row, `[ids.length, vocabulary]`. */
  logits(ids: Uint32Array, kvF16: boolean): Promise<Float32Array>;
  /** JSON of a `Stats`. */
  stats(): string;
  /** Gives the JSON of each event from now on, to this listener alone. */
  listen(onEvent?: (json: string) => void): void;
  pauseFill(): void;
  resumeFill(): void;
  /** Frees the model's memory; no method may be called after it. */
  free(): void;
}

/** JSON of a `CachedFile[]`. This and what follows needs neither a model nor a GPU. */
export function cacheList(): Promise<string>;
export function cacheHas(url: string): Promise<boolean>;
/** Resolves to the bytes that were kept. */
export function cacheRemove(url: string): Promise<number>;
/** JSON of `{ size, fetched }`; `onProgress` is given that of `{ loaded, total }`, here and below. */
export function cacheAdd(
  url: string,
  home: "auto" | "indexeddb" | "opfs",
  token: string | undefined,
  /** JSON of a `Manifest`. */
  manifest: string | undefined,
  onProgress: (json: string) => void,
  signal?: AbortSignal,
): Promise<string>;
/** JSON of a `Verified`. */
export function cacheVerify(url: string, onProgress: (json: string) => void, signal?: AbortSignal): Promise<string>;
export function cacheImport(
  file: Blob,
  url: string,
  onProgress: (json: string) => void,
  signal?: AbortSignal,
): Promise<void>;
/** JSON of a `CacheEstimate`. */
export function cacheEstimate(): Promise<string>;

/** Reads a file that is kept whole, checked. */
export class CacheReader {
  private constructor();
  static open(url: string): Promise<CacheReader>;
  /** Bytes of the file. */
  size(): number;
  /** Bytes `start..end`, brought inside the file. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  free(): void;
}

/** Compiles and starts the module; once per worker. */
export default function init(options?: { module_or_path?: URL | string }): Promise<unknown>;
