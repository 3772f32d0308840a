// In the page, and around it: what the tests of the cache have in common.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { Server } from "./server.mjs";

export const MB = 1 << 20;

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** In the page: does `method` of `cache`; resolves to `{ value }` or `{ code, message }`. */
async function callCache([method, ...args]) {
  const { cache } = await import(new URL("index.js", document.baseURI).href);
  try {
    return { value: await cache[method](...args) };
  } catch (error) {
    return { code: error.code ?? error.name, message: error.message };
  }
}

export const call = (page, ...args) => page.evaluate(callCache, args);

/** The value of a call that must succeed. */
export async function value(page, ...args) {
  const { value, code, message } = await call(page, ...args);
  assert.equal(code, undefined, `cache.${args[0]}: ${code}: ${message}`);
  return value;
}

export const keptOf = async (page, url) => (await value(page, "list")).find((file) => file.url === url)?.kept ?? 0;

/** In the page: begins to add a model and aborts that after so many milliseconds; the name of what came of it. */
export async function addForAWhile({ model, home, milliseconds }) {
  const { cache } = await import(new URL("index.js", document.baseURI).href);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), milliseconds);
  return cache.add(model, { home, signal: stop.signal }).then(() => "added", (error) => error.name);
}

/** In the page: the SHA-256 of what `cache.export` gives. */
export const exported = (page, url) =>
  page.evaluate(async (url) => {
    const { cache } = await import(new URL("index.js", document.baseURI).href);
    const bytes = await new Response(await cache.export(url)).arrayBuffer();
    const sum = await crypto.subtle.digest("SHA-256", bytes);
    return [...new Uint8Array(sum)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }, url);

/** In the page: flips byte `at` of the first extent that is kept of `model`. */
export async function flip({ model, at }) {
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const flipped = async (blob) => {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    bytes[at] ^= 1;
    return new Blob([bytes]);
  };
  const db = await done(indexedDB.open("quire"));
  const [{ id }] = (await done(db.transaction("files").objectStore("files").getAll())).filter(({ location }) => location === model);
  const extents = IDBKeyRange.bound([id], [id, []]);
  const [key] = await done(db.transaction("bytes").objectStore("bytes").getAllKeys(extents));
  if (key) {
    const blob = await flipped(await done(db.transaction("bytes").objectStore("bytes").get(key)));
    await done(db.transaction("bytes", "readwrite").objectStore("bytes").put(blob, key));
  } else {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("quire");
    const file = await folder.getFileHandle(String(id));
    const blob = await flipped(await file.getFile());
    const writable = await file.createWritable();
    await writable.write(blob);
    await writable.close();
  }
  db.close();
}

/** In the page: takes the locks on the first parts of what is kept of `model`, as a tab does that fetches them, and keeps them. */
export async function holdParts({ model, parts }) {
  const opening = indexedDB.open("quire");
  await new Promise((resolve) => (opening.onsuccess = resolve));
  const asking = opening.result.transaction("files").objectStore("files").getAll();
  await new Promise((resolve) => (asking.onsuccess = resolve));
  opening.result.close();
  const { id } = asking.result.find(({ location }) => location === model);
  const hold = (part) => new Promise((resolve) => navigator.locks.request(`quire ${id} part ${part}`, () => (resolve(), new Promise(() => {}))));
  return (await Promise.all(Array.from({ length: parts }, (_, part) => hold(part)))).length;
}

/** In the page: keeps something else until there is room for nothing any more. */
export async function fill() {
  const opening = indexedDB.open("filler", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("bytes", { autoIncrement: true });
  await new Promise((resolve) => (opening.onsuccess = resolve));
  for (let size = 1 << 20; size >= 16 << 10; ) {
    const written = new Promise((resolve, reject) => {
      const writing = opening.result.transaction("bytes", "readwrite");
      writing.oncomplete = resolve;
      writing.onabort = reject;
      // Firefox throws here the next time after there was no room.
      writing.objectStore("bytes").add(new Blob([new Uint8Array(size)]));
    });
    await written.catch(() => (size /= 2));
  }
  opening.result.close();
}

/** Tells the CDN simulator at `cdn` how to behave, or asks what it did. */
export const ask = async (cdn, path) => (await fetch(`${cdn}_cdn/${path}`)).text();

/** Gives `test` a server of `file` and a URL there, and stops it. */
export async function served(file, test) {
  const server = await Server.start(file);
  try {
    return await test(server, `${server.url}model.gguf`);
  } finally {
    await server.stop();
  }
}
