/** The files that are kept on this machine. Needs no engine and no WebGPU. */

import { Client } from "./client.ts";
import type { Calls, Op } from "./messages.ts";
import { startWorker } from "./start.ts";
import type { CachedFile, CacheEstimate, CacheHome, CacheOptions, Manifest, Verified } from "./types.ts";

/** What ends a call. */
export type Abortable = Pick<CacheOptions, "signal">;

/** A URL may be that of any shard of a set; but for `export` and `import`, all of them are meant. */
export interface Cache {
  /** All files, also those of which only parts are kept; of each URL the oldest version first. */
  list(options?: Abortable): Promise<CachedFile[]>;
  /** Bytes that are kept of all files. */
  size(options?: Abortable): Promise<number>;
  /** Whether a model is kept whole, so that it opens without a network. */
  has(url: string, options?: Abortable): Promise<boolean>;
  /** Fetches what is missing of a model and keeps it. Resolves to its size and to the bytes that were fetched. */
  add(
    url: string,
    options?: CacheOptions & {
      home?: Exclude<CacheHome, "none">;
      /** As for an engine. */
      token?: string;
      /** What has come whole is held against it before this resolves. */
      manifest?: Manifest;
    },
  ): Promise<{ size: number; fetched: number }>;
  /** Removes a model; resolves to the bytes that were kept of it. */
  remove(url: string, options?: Abortable): Promise<number>;
  /** Reads all that is kept of a model and holds it against its checksums, and whole files against a manifest's sums. */
  verify(url: string, options?: CacheOptions): Promise<Verified>;
  /** A file that is kept whole, checked as it is read; `new Response(stream).blob()` makes it a Blob. */
  export(url: string, options?: Abortable): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /**
   * Keeps a file that is here as what `url` would give, so that it is not fetched. If it is stopped, what has come of it is
   * discarded. Where other bytes of it are kept already it rejects (`integrity`): remove them first.
   */
  import(file: Blob, url: string, options?: CacheOptions): Promise<void>;
  /** What the browser allows, and which home it reads fastest. */
  estimate(options?: Abortable): Promise<CacheEstimate>;
}

/** What is kept on this machine, of all models that this page's origin has opened or added. Calls reject with a {@link QuireError}. */
export const cache: Cache = {
  list,
  size: async (options) => (await list(options)).reduce((sum, file) => sum + file.kept, 0),
  has: (url, options) => call("cacheHas", { url: absolute(url) }, options),
  async add(url, { home = "auto", token, manifest, ...options } = {}) {
    askToPersist();
    const added = await call("cacheAdd", { url: absolute(url), home, token, manifest: manifest && JSON.stringify(manifest) }, options);
    return JSON.parse(added) as { size: number; fetched: number };
  },
  remove: (url, options) => call("cacheRemove", { url: absolute(url) }, options),
  verify: async (url, options) =>
    JSON.parse(await call("cacheVerify", { url: absolute(url) }, options)) as Verified,
  export: exportFile,
  async import(file, url, options) {
    askToPersist();
    await call("cacheImport", { file, url: absolute(url) }, options);
  },
  estimate: async (options) => JSON.parse(await call("cacheEstimate", {}, options)) as CacheEstimate,
};

async function list(options?: Abortable): Promise<CachedFile[]> {
  return JSON.parse(await call("cacheList", {}, options)) as CachedFile[];
}

/** What is read at once of a file that is exported. */
const EXPORT_BYTES = 4 << 20;

async function exportFile(url: string, { signal }: Abortable = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  // A worker of its own: it holds one file open.
  const client = new Client(startWorker());
  const end = <E>(error: E): never => {
    client.terminate();
    throw error;
  };
  await client.call("cacheOpen", { url: absolute(url) }, undefined, signal).catch(end);
  let start = 0;
  return new ReadableStream(
    {
      async pull(controller) {
        const bytes = await client.call("cacheRead", { start, end: start + EXPORT_BYTES }, undefined, signal).catch(end);
        start += bytes.length;
        if (bytes.length > 0) {
          controller.enqueue(bytes);
          return;
        }
        controller.close();
        client.terminate();
      },
      cancel: () => client.terminate(),
    },
    { highWaterMark: 0 },
  );
}

/** How long a worker waits for the next call before it ends, and with it all that it holds open. */
const IDLE_MS = 5000;

let worker: { client: Client; calls: number; idle?: ReturnType<typeof setTimeout> } | undefined;

async function call<K extends Op>(
  op: K,
  args: Calls[K]["args"],
  { onProgress, signal }: CacheOptions = {},
): Promise<Calls[K]["result"]> {
  const used = (worker ??= { client: new Client(startWorker()), calls: 0 });
  clearTimeout(used.idle);
  used.calls += 1;
  const retire = () => {
    if (worker === used) worker = undefined;
    if (used.calls === 0) used.client.terminate();
  };
  try {
    const onPart = (json: string) => onProgress?.(JSON.parse(json) as { loaded: number; total: number });
    const result = await used.client.call(op, args, onPart, signal);
    used.calls -= 1;
    if (used.calls === 0) used.idle = setTimeout(retire, IDLE_MS);
    return result;
  } catch (error) {
    // It may be the worker that failed, and the next call may need another.
    used.calls -= 1;
    retire();
    throw error;
  }
}

/** The worker's own URL is another base than the page's. */
export function absolute(url: string): string {
  return new URL(url, document.baseURI).href;
}

/** Asks that what is kept is not cleared when the disk fills up. Some browsers ask the person, so nothing waits for it. */
export function askToPersist(): void {
  void navigator.storage?.persist?.().catch(() => false);
}
