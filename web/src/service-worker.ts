/**
 * The service worker that answers OpenAI's API on the page's own origin, with a page's engine behind it: `/v1/chat/completions`,
 * `/v1/completions`, `/v1/responses` and `/v1/models`, at the root or below the scope. It is served from the site's root by itself, or imported into the
 * site's own service worker, whose other requests and whose life it does not touch.
 */

import { httpError, type HttpError } from "./http.ts";
import { type Answer, type Asked, HOST, hold, type Host, JSON_TYPE, MODELS, PATHS, SSE_TYPE, type ToServiceWorker, type Welcome, whenReleased } from "./relay.ts";

declare const self: ServiceWorkerGlobalScope;

interface Route {
  path: Asked["path"];
  /** The model that is asked for; all of them if it is absent. */
  id?: string;
}

self.addEventListener("message", (event) => {
  const { data, source, ports } = event as { data: ToServiceWorker | undefined; source: Client | null; ports: readonly MessagePort[] };
  if (data?.quire !== "hello" || !source) return;
  event.waitUntil(self.clients.claim().then(() => ports[0]?.postMessage({ client: source.id } satisfies Welcome)));
});

self.addEventListener("fetch", (event) => {
  const route = routeOf(event.request);
  if (route) event.respondWith(respond(event, route));
});

/** What is asked of an engine; everything else is the network's. */
function routeOf({ url, mode }: Request): Route | undefined {
  const { origin, pathname } = new URL(url);
  if (origin !== self.location.origin || mode === "navigate") return undefined;
  const bases = [self.registration.scope, `${origin}/`].map((base) => new URL(base).pathname);
  const base = bases.find((base) => pathname.startsWith(`${base}v1/`));
  const asked = base && pathname.slice(base.length - 1);
  const path = PATHS.find((path) => path === asked);
  if (path) return { path };
  if (asked === MODELS) return { path: MODELS };
  if (asked?.startsWith(`${MODELS}/`)) return { path: MODELS, id: decoded(asked.slice(MODELS.length + 1)) };
  return undefined;
}

/** What cannot be decoded is no model's name, and stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function respond(event: FetchEvent, route: Route): Promise<Response> {
  const { request } = event;
  const method = route.path === MODELS ? "GET" : "POST";
  if (request.method !== method) return refuse(httpError(405, "method_not_supported", `${route.path} takes ${method} alone.`));
  const hosts = await findHosts(event.clientId);
  if (route.path === MODELS && route.id === undefined) return listModels(hosts);
  const body = route.id ?? (await request.text());
  const asked = route.id ?? modelOf(body);
  let answer = refuse(nobody(route));
  // By which names a model goes, its engine alone knows; by the one in the list it is found at once.
  for (const host of [...hosts].sort((a, b) => Number(b.model === asked) - Number(a.model === asked))) {
    answer = await relay(host, route.path, body);
    if (answer.status !== 404) return route.path === MODELS && answer.ok ? json(entryOf(host)) : answer;
  }
  return answer;
}

/** What is said where no page has an engine. */
function nobody({ id }: Route): HttpError {
  if (id !== undefined) return httpError(404, "model_not_found", `No page of this site has a model ${JSON.stringify(id)}.`);
  return httpError(503, "no_model", "No page of this site has a model: open one, and ask again once it has loaded.");
}

/** The model that a request names. Whether it is one, the engine tells. */
function modelOf(body: string): unknown {
  try {
    return (JSON.parse(body) as { model?: unknown } | null)?.model;
  } catch {
    return undefined;
  }
}

/** Engines of all pages: those of the page that asks first, then by how lately somebody looked at theirs. */
async function findHosts(asker: string): Promise<Host[]> {
  const { held } = await navigator.locks.query();
  const names = (held ?? []).map(({ name }) => name).filter((name) => name?.startsWith(HOST));
  const hosts = names.map((name) => JSON.parse(name!.slice(HOST.length)) as Host);
  const clients = (await self.clients.matchAll({ type: "window" })).map(({ id }) => id);
  const rank = ({ client }: Host) => (client === asker ? -1 : clients.indexOf(client));
  return hosts.filter(({ client }) => clients.includes(client)).sort((a, b) => rank(a) - rank(b));
}

function listModels(hosts: Host[]): Response {
  const models = new Map(hosts.map((host) => [host.model, entryOf(host)]));
  return json({ object: "list", data: [...models.values()] });
}

function entryOf({ model, created }: Host): object {
  return { id: model, object: "model", created, owned_by: "quire" };
}

/** Passes a request on, and its answer back as it comes. That its reader has gone shows only by the body: requests here do not tell of aborts. */
async function relay(host: Host, path: Asked["path"], body: string): Promise<Response> {
  const client = await self.clients.get(host.client);
  const lock = `quire request ${crypto.randomUUID()}`;
  const release = await hold(lock);
  const { port1: port, port2 } = new MessageChannel();
  const ended = new AbortController();
  const end = () => {
    ended.abort();
    release();
    port.close();
  };
  const abort = () => {
    port.postMessage("abort");
    end();
  };
  return new Promise((resolve) => {
    const encoder = new TextEncoder();
    let type: string | undefined;
    let sink!: ReadableStreamDefaultController<Uint8Array>;
    const source = new ReadableStream<Uint8Array>({ start: (controller) => void (sink = controller), cancel: abort });
    const fail = ({ status, body }: HttpError) => {
      if (type === SSE_TYPE) {
        sink.enqueue(encoder.encode(`event: error\ndata: ${body}\n\n`));
        sink.close();
      } else if (type) {
        sink.error(new TypeError((JSON.parse(body) as { error: { message: string } }).error.message));
      } else {
        resolve(refuse({ status, body }));
      }
      end();
    };
    port.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data.kind === "head") {
        type = data.type;
        resolve(new Response(source, { headers: headers(type) }));
      } else if (data.kind === "part") {
        sink.enqueue(encoder.encode(data.text));
      } else if (data.kind === "end") {
        sink.close();
        end();
      } else {
        fail(data);
      }
    };
    whenReleased(HOST + JSON.stringify(host), ended.signal, () => fail(httpError(503, "no_model", "The page that had the model is gone.")));
    client?.postMessage({ quire: "request", engine: host.engine, path, body, lock } satisfies Asked, [port2]);
  });
}

function headers(type: string): HeadersInit {
  return { "content-type": type, "cache-control": "no-store", "x-request-id": crypto.randomUUID() };
}

function json(body: object): Response {
  return new Response(JSON.stringify(body), { headers: headers(JSON_TYPE) });
}

function refuse({ status, body }: HttpError): Response {
  return new Response(body, { status, headers: headers(JSON_TYPE) });
}
