/** What page and worker say to each other. Every call has an id; answers carry the id of their call. */

import type { ErrorCode } from "./errors.ts";
import type { LoadOptions } from "./wasm/quire_web.js";

/** A call's work, and what it resolves to. */
export interface Calls {
  load: { args: { model: string | File; options: LoadOptions }; result: string };
  chat: { args: { request: string }; result: string };
  logits: { args: { ids: Uint32Array; kvF16: boolean }; result: Float32Array };
  stats: { args: object; result: string };
}

export type Op = keyof Calls;

/** Page to worker. `abort` names a call that is under way; nothing answers it but that call's own end. */
export type ToWorker =
  | { [K in Op]: { id: number; op: K } & Calls[K]["args"] }[Op]
  | { id: number; op: "abort" };

/** Worker to page: any number of parts (JSON of progress or chunks), then `done` or `failed`. */
export type FromWorker =
  | { id: number; kind: "part"; json: string }
  | { id: number; kind: "done"; result: Calls[Op]["result"] }
  | { id: number; kind: "failed"; code: ErrorCode | "aborted"; message: string };
