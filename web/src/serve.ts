/** The page's side of `quire/service-worker`: an engine that answers what the service worker passes on. */

import { QuireError } from "./errors.ts";
import { httpError } from "./http.ts";
import { type Answer, type Asked, HOST, hold, type Host, type ToServiceWorker, type Welcome, whenReleased } from "./relay.ts";

/** An engine behind this site's own `/v1/`. */
export interface Server extends AsyncDisposable {
  /** What OpenAI's clients are to be given as `baseURL`. */
  readonly baseURL: string;
  /** Answers nothing any more; what is under way is aborted. */
  close(): Promise<void>;
}

/** How often the service worker is given a sign of life; the most impatient browsers stop it after 30 s. */
const PING_MS = 10_000;

/** Has the engine answer a path's request, both as text; `onAnswer` gets the JSON of each {@link Answer} but the end. */
export type Work = (path: Asked["path"], request: string, onAnswer: (json: string) => void, signal: AbortSignal) => Promise<unknown>;

/** Registers the service worker, has it control this page, and answers what comes from it. */
export async function serve(work: Work, model: string, serviceWorker: string | URL | ServiceWorkerRegistration): Promise<Server> {
  const { serviceWorker: container } = navigator;
  if (!container) throw new QuireError("unsupported", "This browser has no service workers here: private windows of some do not.");
  const registration = await register(container, serviceWorker);
  const active = await activated(registration);
  const { client } = await greet(active);
  const host: Host = { client, engine: crypto.randomUUID(), model, created: Math.floor(Date.now() / 1000) };
  const closing = new AbortController();
  const receive = ({ data, ports: [port] }: MessageEvent<Asked>) => {
    if (data?.quire !== "request" || data.engine !== host.engine || !port) return;
    // By then another version of it may be the active one.
    const ping = () => registration.active?.postMessage({ quire: "ping" } satisfies ToServiceWorker);
    void answer(work, data, port, closing.signal, ping);
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
  try {
    await work(path, body, (json) => send(JSON.parse(json) as Answer), signal);
    send({ kind: "end" });
  } catch (error) {
    const gone = httpError(503, "no_model", "The page has closed its model.");
    send({ kind: "failed", ...(closing.aborted ? gone : httpError(500, "internal", (error as Error).message)) });
  } finally {
    clearInterval(pings);
    ended.abort();
    closing.removeEventListener("abort", abort);
  }
}
