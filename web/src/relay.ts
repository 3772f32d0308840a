/**
 * What a page with an engine and the service worker say to each other, and how either knows that the other is still there: by Web Locks,
 * which a browser takes from whoever ends, however that came about. So nothing is kept in the service worker, which browsers stop
 * and start as they like.
 */

import type { HttpError } from "./http.ts";

/** An engine that answers, written as JSON behind `HOST` in the name of a lock that its page holds. */
export interface Host {
  /** `Client.id` of the page. */
  client: string;
  /** Tells the engines of one page apart. */
  engine: string;
  model: string;
  /** Seconds since 1970. */
  created: number;
}

export const HOST = "quire host ";

/** Paths that an engine answers. */
export const PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses"] as const;
export type Path = (typeof PATHS)[number];
/** And one at which it is asked whether a name is its model's. */
export const MODELS = "/v1/models";

/** Page to service worker, with a port on which `Welcome` comes once the service worker controls the page. */
export type ToServiceWorker =
  | { quire: "hello" }
  /** Nothing but a sign of life: browsers stop a service worker that gets no events for a while, though it be in mid-answer. */
  | { quire: "ping" };

export interface Welcome {
  client: string;
}

/** Service worker to page, with a port. */
export interface Asked {
  quire: "request";
  engine: string;
  path: Path | typeof MODELS;
  /** At `MODELS` the name; what answers it has no body. */
  body: string;
  /** Name of a lock that the service worker holds as long as it waits for the answer. */
  lock: string;
}

/**
 * Page to service worker, on that port: a head, any number of parts, the end; or at any time that it failed, which what was sent by then
 * makes a response or the end of one. The other way, anything at all is an abort.
 */
export type Answer =
  | { kind: "head"; type: string }
  | { kind: "part"; text: string }
  | { kind: "end" }
  | ({ kind: "failed" } & HttpError);

export const JSON_TYPE = "application/json";
export const SSE_TYPE = "text/event-stream";

/** Holds a lock until it is released. Resolves once it is held. */
export function hold(name: string): Promise<() => void> {
  return new Promise((held, refused) => {
    navigator.locks.request(name, () => new Promise<void>((release) => held(release))).catch(refused);
  });
}

/** Calls `gone` once nobody holds the lock any more, unless `signal` is aborted before. */
export function whenReleased(name: string, signal: AbortSignal, gone: () => void): void {
  // What it rejects with is the abort.
  navigator.locks.request(name, { signal }, gone).catch(() => {});
}
