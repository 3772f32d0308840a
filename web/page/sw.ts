/**
 * The page without a network: keeps the page's own files, never a model's. The network comes first, so that a page which is new there is
 * new here; what it does not give comes from what is kept.
 */

export {};
declare const self: ServiceWorkerGlobalScope;

const NAME = "quire-page";
/** All files of the page, written when it is built. */
const SHELL = "shell.json";
const ours = /\.(?:html|js|css|wasm|svg|png|json|woff2|webmanifest)$/;

self.addEventListener("install", (event) => {
  event.waitUntil(fill().then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  const isPage = request.mode === "navigate" && pathname === new URL(self.registration.scope).pathname;
  const isOurs = origin === location.origin && request.method === "GET" && !request.headers.has("range");
  if (isOurs && (isPage || ours.test(pathname))) event.respondWith(answer(request, isPage ? "index.html" : request.url, event));
});

/** What the network gives, kept as `name`; else what is kept. */
async function answer(request: Request, name: string, event: FetchEvent): Promise<Response> {
  const shelf = await caches.open(NAME);
  const fresh = await fetch(request).catch(() => undefined);
  if (fresh?.ok) {
    const copy = fresh.clone();
    // A full disk is no reason not to answer.
    event.waitUntil(shelf.put(name, copy).catch(() => {}));
    // The page may be another one than it was.
    if (name === "index.html") event.waitUntil(fill().catch(() => {}));
    return fresh;
  }
  // Parts of a page that is open may be gone from the server.
  return (await shelf.match(name)) ?? fresh ?? Response.error();
}

/** Fetches what of the page is not kept, and forgets what is no part of it any more. */
async function fill(): Promise<void> {
  const shelf = await caches.open(NAME);
  const names = (await (await fetch(SHELL, { cache: "no-store" })).json()) as string[];
  const urls = new Set(names.map((name) => new URL(name, self.registration.scope).href));
  const kept = (await shelf.keys()).map(({ url }) => url);
  const isPart = (url: string) => /\/(?:part-[^/]*|fonts\/[^/]*)$/.test(url);
  await Promise.all(kept.filter((url) => isPart(url) && !urls.has(url)).map((url) => shelf.delete(url)));
  await shelf.addAll([...urls].filter((url) => !kept.includes(url)));
}
