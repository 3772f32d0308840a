/** The engine's worker, started wherever the package lies. */

import { QuireError } from "./errors.ts";

export function startWorker(): Worker {
  // As where a server renders the page.
  if (!globalThis.Worker) throw new QuireError("unsupported", "There are no workers here: the engine runs in a browser.");
  const here = new URL(import.meta.url);
  if (here.protocol.startsWith("http") && here.origin !== location.origin) return startFromAfar(new URL("worker.js", here));
  // Written out, since it is by these words that bundlers find the script.
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
}

/** A page may start workers from its own origin alone; what such a worker imports may lie elsewhere, as on a CDN. */
function startFromAfar(script: URL): Worker {
  const source = new Blob([`import ${JSON.stringify(script.href)};`], { type: "text/javascript" });
  const url = URL.createObjectURL(source);
  const worker = new Worker(url, { type: "module" });
  // Its first word says that it has read the script.
  worker.addEventListener("message", () => URL.revokeObjectURL(url), { once: true });
  return worker;
}
