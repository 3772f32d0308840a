/** Events of the engine, asked of the worker only while somebody listens. */

import type { Client } from "./client.ts";
import type { EngineEvents } from "./types.ts";

type Listener<K extends keyof EngineEvents> = (event: EngineEvents[K]) => void;

export class Events {
  #client: Client;
  #listeners: { [K in keyof EngineEvents]: Set<Listener<K>> } = { paging: new Set(), fill: new Set() };
  #listening: AbortController | undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Returns how to stop. */
  on<K extends keyof EngineEvents>(name: K, listener: Listener<K>): () => void {
    // Each call counts by itself, though it may be the same function.
    const mine: Listener<K> = (event) => listener(event);
    this.#listeners[name].add(mine);
    this.#start();
    return () => {
      this.#listeners[name].delete(mine);
      if (this.#listeners.paging.size + this.#listeners.fill.size > 0) return;
      this.#listening?.abort();
      this.#listening = undefined;
    };
  }

  #start(): void {
    if (this.#listening) return;
    this.#listening = new AbortController();
    const tell = (json: string) => {
      for (const event of JSON.parse(json) as EngineEvents[keyof EngineEvents][]) {
        if (event.type === "fill") for (const listener of this.#listeners.fill) listener(event);
        else for (const listener of this.#listeners.paging) listener(event);
      }
    };
    // It ends with the last listener or with the engine; both are known to whoever listens.
    this.#client.call("listen", {}, tell, this.#listening.signal).catch(() => {});
  }
}
