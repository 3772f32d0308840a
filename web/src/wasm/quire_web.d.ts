/** The surface of the wasm module, as the worker uses it. */

export interface LoadOptions {
  /** Tokens of context to make room for. */
  contextLength?: number;
  /** GPU memory that may be used, in bytes. */
  maxGpuBytes?: number;
}

/** A loaded model. Methods reject with `{ code, message }`, or with an `AbortError`. */
export class Quire {
  private constructor();
  /** `onProgress` is given the JSON of a `Progress`. */
  static load(
    model: string | File,
    options: LoadOptions,
    onProgress: (json: string) => void,
    signal?: AbortSignal,
  ): Promise<Quire>;
  /** JSON of an `EngineInfo`. */
  info(): string;
  /** Takes the JSON of an OpenAI chat request; gives each chunk's JSON to `onChunk`; resolves to the whole answer's. */
  chat(request: string, onChunk: (chunk: string) => void, signal?: AbortSignal): Promise<string>;
  /** Logits at every position, row by row, `[ids.length, vocabulary]`. */
  logits(ids: Uint32Array, kvF16: boolean): Promise<Float32Array>;
  /** JSON of a `Stats`. */
  stats(): string;
  /** Frees the model's memory; no method may be called after it. */
  free(): void;
}

/** Compiles and starts the module; once per worker. */
export default function init(options?: { module_or_path?: URL | string }): Promise<unknown>;
