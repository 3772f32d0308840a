/** What page and worker say to each other. Every call has an id; answers carry the id of their call. */

import type { ErrorCode } from "./errors.ts";
import type { Asked, Path } from "./relay.ts";
import type { CacheHome } from "./types.ts";
import type { LoadOptions } from "./wasm/quire_web.js";

/** A call's work, and what it resolves to. */
export interface Calls {
  load: { args: { model: string | File; options: LoadOptions }; result: string };
  /** Gives the JSON of each chunk or event if a stream is asked for; resolves to the whole answer's. */
  answer: { args: { path: Path; request: string }; result: string };
  /** Gives the JSON of each `Answer`, failures too. */
  respond: { args: { path: Asked["path"]; request: string }; result: undefined };
  logits: { args: { ids: Uint32Array; kvF16: boolean }; result: Float32Array };
  /** `request` is a chat's JSON. */
  tokenize: { args: { text: string } | { request: string }; result: Uint32Array };
  stats: { args: object; result: string };
  /** Gives JSON of `EngineEvents` in bunches until it is aborted. */
  listen: { args: object; result: undefined };
  fill: { args: { isPaused: boolean }; result: undefined };
  cacheList: { args: object; result: string };
  cacheHas: { args: { url: string }; result: boolean };
  cacheRemove: { args: { url: string }; result: number };
  cacheAdd: {
    args: { url: string; home: Exclude<CacheHome, "none">; token?: string | undefined; manifest?: string | undefined };
    result: string;
  };
  cacheVerify: { args: { url: string }; result: string };
  cacheImport: { args: { file: Blob; url: string }; result: undefined };
  cacheEstimate: { args: object; result: string };
  /** Opens a file for reading, in the place of any other; resolves to its size in bytes. */
  cacheOpen: { args: { url: string }; result: number };
  /** Bytes of the file that was opened; empty at its end, which closes it. */
  cacheRead: { args: { start: number; end: number }; result: Uint8Array<ArrayBuffer> };
}

export type Op = keyof Calls;

/** Page to worker. `abort` names a call that is under way; nothing answers it but that call's own end. */
export type ToWorker =
  | { [K in Op]: { id: number; op: K } & Calls[K]["args"] }[Op]
  | { id: number; op: "abort" };

/**
 * Worker to page: any number of parts (JSON of progress or chunks), then `done` or `failed`; a `warning`, JSON of
 * `{ code, message }`, at any time.
 */
export type FromWorker =
  | { id?: undefined; kind: "warning"; json: string }
  | { id: number; kind: "part"; json: string }
  | { id: number; kind: "done"; result: Calls[Op]["result"] }
  | { id: number; kind: "failed"; code: ErrorCode | "aborted"; message: string };
