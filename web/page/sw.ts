/**
 * The page without a network: keeps the page's own files, never a model's. Every build of the page has a service worker of its own, which
 * keeps all files of the build before it answers with one, and waits until no tab shows the build before: no page is made of two.
 */

export {};
declare const self: ServiceWorkerGlobalScope;

/** Written in when the page is built: what tells this build from others, and its files. */
declare const BUILD: string;
declare const FILES: readonly string[];

/** What a host says of itself is no part of a build. */
const CONFIG = "config.json";

const { scope } = self.registration;
const urlOf = (name: string): string => new URL(name, scope).href;
/** Of all builds at this address. */
const NAMES = `quire-page ${scope} `;
const NAME = NAMES + BUILD;
const ours = new Set(FILES.map(urlOf));

/**
 * In the page that is shown meanwhile: reloads it when the next build has taken over, or may have done so before this was heard. A page that
 * did so without end would be stopped by the browser, and stay empty.
 */
const RELOAD = `
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
  setTimeout(() => location.reload(), 500);
`;

self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
self.addEventListener("message", ({ data }) => {
  if (data === "take over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { url, mode, method, headers } = request;
  if (method !== "GET" || headers.has("range")) return;
  if (mode === "navigate" && new URL(url).pathname === new URL(scope).pathname) event.respondWith(page(request));
  else if (url === urlOf(CONFIG)) event.respondWith(config(request));
  else if (ours.has(url)) event.respondWith(kept(url, request));
});

/** Fetches all files anew: the browser's own cache may have some of another build. */
async function fill(): Promise<void> {
  const shelf = await caches.open(NAME);
  await shelf.addAll([...ours].map((url) => new Request(url, { cache: "no-cache" })));
}

async function forgetOthers(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith(NAMES) && name !== NAME) await caches.delete(name);
}

async function page(request: Request & { isReloadNavigation?: boolean }): Promise<Response> {
  const { waiting } = self.registration;
  // The only tab gets the next build by a reload; tabs that are closed leave it the field anyway.
  if (waiting && request.isReloadNavigation && (await self.clients.matchAll()).length < 2) {
    waiting.postMessage("take over");
    return new Response(`<script>${RELOAD}</script>`, { headers: { "content-type": "text/html" } });
  }
  return kept(urlOf("./"), request);
}

async function kept(url: string, request: Request): Promise<Response> {
  const shelf = await caches.open(NAME);
  return (await shelf.match(url, { ignoreVary: true })) ?? fetch(request);
}

/** What the network gives, else what it gave last; that there is none, where that was never anything. */
async function config(request: Request): Promise<Response> {
  const shelf = await caches.open(NAME);
  const fresh = await fetch(request).catch(() => undefined);
  // A full disk is no reason not to answer.
  if (fresh?.ok) await shelf.put(request.url, fresh.clone()).catch(() => {});
  return fresh ?? (await shelf.match(request.url, { ignoreVary: true })) ?? new Response(undefined, { status: 404 });
}
