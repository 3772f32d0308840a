/** The page's side of `quire/service-worker`: an engine that answers what the service worker passes on. */

import { QuireError } from "./errors.ts";
import { asHttpError, httpError, type HttpError } from "./http.ts";
import { type Answer, type Asked, event, HOST, hold, type Host, JSON_TYPE, type Path, SSE_TYPE, type ToServiceWorker, type Welcome, whenReleased } from "./relay.ts";

/** An engine behind this site's own `/v1/`. */
export interface Server extends AsyncDisposable {
  /** What OpenAI's clients are to be given as `baseURL`. */
  readonly baseURL: string;
  /** Answers nothing any more; what is under way is aborted. */
  close(): Promise<void>;
}

/** Requests that may wait for their turn. */
const MOST_WAITING = 16;

/** How often the service worker is given a sign of life; the most impatient browsers stop it after 30 s. */
const PING_MS = 10_000;

/**
 * Does the work of a path for a body, both as JSON: gives `onPart` each chunk, whether they are streamed or not, and resolves to the
 * whole answer.
 */
export type Work = (path: Path, request: string, onPart: (json: string) => void, signal: AbortSignal) => Promise<string>;

/** Registers the service worker, has it control this page, and answers what comes from it. */
export async function serve(work: Work, model: string, serviceWorker: string | URL | ServiceWorkerRegistration): Promise<Server> {
  const { serviceWorker: container } = navigator;
  if (!container) throw new QuireError("unsupported", "This browser has no service workers here: private windows of some do not.");
  const registration = await register(container, serviceWorker);
  const active = await activated(registration);
  const { client } = await greet(active);
  const host: Host = { client, engine: crypto.randomUUID(), model, created: Math.floor(Date.now() / 1000) };
  const turns = new Turns();
  const closing = new AbortController();
  const receive = ({ data, ports: [port] }: MessageEvent<Asked>) => {
    if (data?.quire !== "request" || data.engine !== host.engine || !port) return;
    // By then another version of it may be the active one.
    const ping = () => registration.active?.postMessage({ quire: "ping" } satisfies ToServiceWorker);
    void answer(work, data, port, turns, closing.signal, ping);
  };
  container.addEventListener("message", receive);
  container.startMessages();
  // Whoever finds the lock may ask at once.
  const release = await hold(HOST + JSON.stringify(host));
  const close = async () => {
    release();
    container.removeEventListener("message", receive);
    closing.abort();
  };
  return { baseURL: new URL("v1", registration.scope).href, close, [Symbol.asyncDispose]: close };
}

async function register(container: ServiceWorkerContainer, script: string | URL | ServiceWorkerRegistration) {
  if (script instanceof ServiceWorkerRegistration) return script;
  try {
    return await container.register(script);
  } catch (error) {
    throw new QuireError("unsupported", `The service worker ${script} cannot be registered: ${(error as Error).message}`);
  }
}

/** The registration's worker, once it is active. */
async function activated(registration: ServiceWorkerRegistration): Promise<ServiceWorker> {
  if (!location.href.startsWith(registration.scope)) {
    throw new QuireError("invalid_request", `The service worker controls ${registration.scope}, which this page is not below.`);
  }
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (!worker) throw new QuireError("unsupported", "The service worker has gone.");
  await new Promise<void>((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new QuireError("unsupported", `The service worker ${worker.scriptURL} failed to start.`));
    };
    worker.addEventListener("statechange", look);
    look();
  });
  return worker;
}

/** Has the service worker take control of this page, which it does not by itself at the first visit. */
function greet(worker: ServiceWorker): Promise<Welcome> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new QuireError("unsupported", `${worker.scriptURL} does not answer; is quire/service-worker part of it?`)),
      PING_MS,
    );
    port1.onmessage = ({ data }: MessageEvent<Welcome>) => {
      clearTimeout(timer);
      port1.close();
      resolve(data);
    };
    worker.postMessage({ quire: "hello" } satisfies ToServiceWorker, [port2]);
  });
}

async function answer(
  work: Work,
  { path, body, lock }: Asked,
  port: MessagePort,
  turns: Turns,
  closing: AbortSignal,
  ping: () => void,
): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const abort = () => controller.abort();
  const ended = new AbortController();
  port.onmessage = abort;
  closing.addEventListener("abort", abort);
  whenReleased(lock, ended.signal, abort);
  const pings = setInterval(ping, PING_MS);

  const send = (answer: Answer) => port.postMessage(answer);
  const streams = "stream" in body && body.stream === true;
  let hasHead = false;
  const head = (status: number, type: string) => {
    if (hasHead) return;
    hasHead = true;
    send({ kind: "head", status, type });
  };
  // The first chunk shows that nothing is refused. From then on whoever waits for the whole is missed if he goes.
  const onPart = (json: string) => {
    head(200, streams ? SSE_TYPE : JSON_TYPE);
    if (streams) send({ kind: "part", text: event(json) });
  };
  let broken: string | undefined;
  const fail = ({ status, body }: HttpError) => {
    if (hasHead && !streams) broken = body.error.message;
    else if (hasHead) send({ kind: "part", text: event(JSON.stringify(body)) });
    else {
      head(status, JSON_TYPE);
      send({ kind: "part", text: JSON.stringify(body) });
    }
  };
  try {
    await turns.take(signal);
    const whole = await work(path, JSON.stringify(body), onPart, signal).finally(() => turns.give());
    head(200, streams ? SSE_TYPE : JSON_TYPE);
    send({ kind: "part", text: streams ? event("[DONE]") : whole });
  } catch (error) {
    fail(closing.aborted ? httpError(503, "no_model", "The page has closed its model.") : asHttpError(error));
  } finally {
    send({ kind: "end", ...(broken !== undefined && { broken }) });
    clearInterval(pings);
    ended.abort();
    closing.removeEventListener("abort", abort);
  }
}

/** One at a time, in the order in which they came. */
class Turns {
  #isTaken = false;
  #waiting = new Set<() => void>();

  async take(signal: AbortSignal): Promise<void> {
    if (!this.#isTaken) {
      this.#isTaken = true;
      return;
    }
    if (this.#waiting.size >= MOST_WAITING) {
      throw new QuireError("busy", `${MOST_WAITING} requests wait already.`);
    }
    await new Promise<void>((resolve, reject) => {
      this.#waiting.add(resolve);
      signal.addEventListener("abort", () => {
        if (this.#waiting.delete(resolve)) reject(signal.reason as DOMException);
      });
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#isTaken = false;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
