// What is kept of a model from one visit to the next: both homes, tabs that die, bytes that rot, storage that is full.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

import { Profile } from "./profile.mjs";
import { makeUp, Server } from "./server.mjs";

const MB = 1 << 20;
/** A checksum covers so much, and so much is committed at once. */
const [CHUNK, EXTENT] = [256 << 10, 4 * MB];
const KILLS = 20;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** In the page: does `method` of `cache`; resolves to `{ value }` or `{ code, message }`. */
async function callCache([method, ...args]) {
  const { cache } = await import(new URL("index.js", document.baseURI).href);
  try {
    return { value: await cache[method](...args) };
  } catch (error) {
    return { code: error.code ?? error.name, message: error.message };
  }
}

const call = (page, ...args) => page.evaluate(callCache, args);

/** The value of a call that must succeed. */
async function value(page, ...args) {
  const { value, code, message } = await call(page, ...args);
  assert.equal(code, undefined, `cache.${args[0]}: ${code}: ${message}`);
  return value;
}

const keptOf = async (page, url) => (await value(page, "list")).find((file) => file.url === url)?.kept ?? 0;

/** In the page: the SHA-256 of what `cache.export` gives. */
const exported = (page, url) =>
  page.evaluate(async (url) => {
    const { cache } = await import(new URL("index.js", document.baseURI).href);
    const bytes = await new Response(await cache.export(url)).arrayBuffer();
    const sum = await crypto.subtle.digest("SHA-256", bytes);
    return [...new Uint8Array(sum)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }, url);

/** In the page: flips one byte of the first Blob, or of the first private file. */
async function flip({ home, at }) {
  const flipped = async (blob) => {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    bytes[at] ^= 1;
    return new Blob([bytes]);
  };
  if (home === "opfs") {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("quire");
    for await (const file of folder.values()) {
      const blob = await flipped(await file.getFile());
      const writable = await file.createWritable();
      await writable.write(blob);
      await writable.close();
      return;
    }
  }
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const db = await done(indexedDB.open("quire"));
  const read = db.transaction("bytes").objectStore("bytes");
  const [[key], [blob]] = await Promise.all([done(read.getAllKeys()), done(read.getAll())]);
  const bad = await flipped(blob);
  await done(db.transaction("bytes", "readwrite").objectStore("bytes").put(bad, key));
  db.close();
}

/** Gives `test` a profile and a server of `size` bytes, and removes both. */
async function withBoth(browser, size, test) {
  const [profile, server] = await Promise.all([Profile.make(browser), Server.start(makeUp(size))]);
  try {
    return await test(profile, server);
  } finally {
    await server.stop().catch(() => {});
    await profile.remove();
  }
}

/** The tests that hold for each home. */
const ofHome = (home) => ({
  async [`${home}: the second visit fetches no byte, and needs no network`](_, { url, browser }) {
    return withBoth(browser, 24 * MB, async (profile, server) => {
      const model = `${server.url}model.gguf`;
      const first = await profile.visit();
      let page = await first.open(url);
      assert.equal(await value(page, "has", model), false);
      const begin = performance.now();
      assert.deepEqual(await value(page, "add", model, { home }), { size: 24 * MB, fetched: 24 * MB });
      const seconds = (performance.now() - begin) / 1000;
      await first.close();
      assert.equal(server.sent, 24 * MB);
      server.sent = 0;

      const second = await profile.visit();
      page = await second.open(url);
      assert.deepEqual(await value(page, "add", model, { home }), { size: 24 * MB, fetched: 0 });
      assert.equal(server.sent, 0);
      await server.stop();
      assert.deepEqual(await value(page, "add", model, { home }), { size: 24 * MB, fetched: 0 });
      assert.equal(await value(page, "has", model), true);
      assert.equal(await exported(page, model), sha256(server.file));
      await second.close();
      return `kept at ${(24 / seconds).toFixed(0)} MiB/s`;
    });
  },

  async [`${home}: a flipped byte is noticed, and its chunk alone is fetched again`](_, { url, browser }) {
    return withBoth(browser, 12 * MB, async (profile, server) => {
      const model = `${server.url}model.gguf`;
      const first = await profile.visit();
      let page = await first.open(url);
      await value(page, "add", model, { home });
      await first.close();
      const second = await profile.visit();
      page = await second.open(url);
      await page.evaluate(flip, { home, at: 1_000_000 });
      server.sent = 0;
      assert.deepEqual(await value(page, "add", model, { home }), { size: 12 * MB, fetched: CHUNK });
      assert.equal(server.sent, CHUNK);
      assert.equal(await exported(page, model), sha256(server.file));

      await page.evaluate(flip, { home, at: 2_000_000 });
      const found = await value(page, "verify", model);
      assert.equal(found.badChunks, 1);
      assert.equal((await call(page, "export", model)).code, "invalid_request");
      assert.equal((await value(page, "add", model, { home })).fetched, CHUNK);
      assert.equal((await value(page, "verify", model)).sha256, sha256(server.file));
      await second.close();
    });
  },

  async [`${home}: killed ${KILLS} times in the middle, each visit goes on where the last one was`](_, { url, browser }) {
    return withBoth(browser, 128 * MB, async (profile, server) => {
      const model = `${server.url}model.gguf`;
      server.bandwidth = 24 * MB;
      let visit = await profile.visit();
      let page = await visit.open(url);
      const lost = [];
      let [kept, seed] = [0, 7];
      for (let kill = 1; kill <= KILLS; kill += 1) {
        server.sent = 0;
        const work = call(page, "add", model, { home }).catch(() => {});
        seed = (seed * 1103515245 + 12345) % 2147483648;
        await pause(100 + (seed / 2147483648) * 900);
        // Now the tab, now the whole browser.
        if (kill % 5 === 0) {
          await visit.kill();
          visit = await profile.visit();
        } else {
          await page.close();
        }
        await work;
        page = await visit.open(url);
        const now = await keptOf(page, model);
        assert.ok(now >= kept, `${kept - now} bytes that were kept are gone`);
        lost.push(kept + server.sent - now);
        kept = now;
        if (kept === server.file.length) break;
      }
      const most = Math.max(...lost);
      // Six requests, each with an extent that grows, and those that were being written.
      assert.ok(most <= 6 * EXTENT + 32 * MB, `${most} bytes were lost at once`);
      server.bandwidth = Infinity;
      assert.equal((await value(page, "verify", model)).badChunks, 0);
      assert.equal((await value(page, "add", model, { home })).fetched, server.file.length - kept);
      assert.equal(await exported(page, model), sha256(server.file));
      await visit.close();
      const mean = lost.reduce((sum, bytes) => sum + bytes, 0) / lost.length;
      return `${lost.length} kills; fetched again after one: ${(mean / MB).toFixed(1)} MiB on average, ${(most / MB).toFixed(1)} at most`;
    });
  },

  async [`${home}: two tabs fetch no byte twice, and both have all of them`](_, { url, browser }) {
    return withBoth(browser, 24 * MB, async (profile, server) => {
      const model = `${server.url}model.gguf`;
      server.bandwidth = 16 * MB;
      const visit = await profile.visit();
      const pages = [await visit.open(url), await visit.open(url)];
      const added = await Promise.all(pages.map((page) => value(page, "add", model, { home })));
      assert.equal(server.sent, 24 * MB, `each fetched ${added.map(({ fetched }) => fetched)}`);
      for (const page of pages) assert.equal(await exported(page, model), sha256(server.file));
      await visit.close();
      return `${added.map(({ fetched }) => `${(fetched / MB).toFixed(1)} MiB`).join(" and ")}`;
    });
  },

  async [`${home}: full storage is a quota error; nothing is lost, and with room it goes on`](_, { url, browser }) {
    return withBoth(browser, 48 * MB, async (profile, server) => {
      const model = `${server.url}model.gguf`;
      // Firefox gives an origin 10 MiB at least, or a fifth of this limit in KiB.
      const limit = (kib) => ({ prefs: { "dom.quotaManager.temporaryStorage.fixedLimit": kib } });
      let visit = await profile.visit(limit(100 * 1024));
      let page = await visit.open(url);
      const setQuota = async (quotaSize) => {
        const session = await page.createCDPSession();
        await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(url).origin, quotaSize });
      };
      if (browser === "Chromium") await setQuota(20 * MB);
      const full = await call(page, "add", model, { home });
      assert.equal(full.code, "quota", JSON.stringify(full));
      assert.match(full.message, /4\.2 MB more are needed.*cache\.remove makes room; kept are http/);
      const kept = await keptOf(page, model);
      assert.ok(kept > 0 && kept <= 20 * MB, `${kept} bytes are kept`);
      assert.equal((await value(page, "verify", model)).badChunks, 0);

      if (browser === "Chromium") await setQuota(undefined);
      else {
        await visit.close();
        visit = await profile.visit(limit(-1));
        page = await visit.open(url);
      }
      assert.equal((await value(page, "add", model, { home })).fetched, 48 * MB - kept);
      assert.equal(await exported(page, model), sha256(server.file));
      await visit.close();
      return full.message;
    });
  },
});

export const tests = {
  async "the faster home is measured once and chosen"(_, { url, browser }) {
    return withBoth(browser, 4 * MB, async (profile) => {
      const visit = await profile.visit();
      const page = await visit.open(url);
      const begin = performance.now();
      const { home, rates, quota } = await value(page, "estimate");
      const seconds = (performance.now() - begin) / 1000;
      assert.ok(rates.indexeddb > 0 && rates.opfs > 0 && quota > 0);
      assert.equal(home, rates.opfs > rates.indexeddb ? "opfs" : "indexeddb");
      assert.deepEqual((await value(page, "estimate")).rates, rates);
      await visit.close();
      const [blobs, files] = [rates.indexeddb, rates.opfs].map((rate) => `${(rate / 1e6).toFixed(0)} MB/s`);
      return `${home}; IndexedDB ${blobs}, OPFS ${files}; ${seconds.toFixed(2)} s with the start of the worker`;
    });
  },

  ...ofHome("indexeddb"),
  ...ofHome("opfs"),

  async "what is imported is not fetched, and can be listed, exported and removed"(_, { url, browser }) {
    return withBoth(browser, 6 * MB, async (profile, server) => {
      const model = `${server.url}model.gguf`;
      const visit = await profile.visit();
      const page = await visit.open(url);
      await page.evaluate(async (model) => {
        const { cache } = await import(new URL("index.js", document.baseURI).href);
        const file = await (await fetch(model)).blob();
        await cache.import(file, model);
      }, model);
      server.sent = 0;
      assert.deepEqual(await value(page, "add", model), { size: 6 * MB, fetched: 0 });
      const list = await value(page, "list");
      assert.deepEqual(list, [{ url: model, size: 6 * MB, kept: 6 * MB, tag: null }]);
      assert.equal(await value(page, "size"), 6 * MB);
      assert.equal(await exported(page, model), sha256(server.file));
      assert.equal(server.sent, 0);
      assert.equal(await value(page, "remove", model), 6 * MB);
      assert.deepEqual(await value(page, "list"), []);
      assert.equal(await value(page, "remove", model), 0);
      await visit.close();
    });
  },

  async "another version on the server takes the place of the old one"(_, { url, browser }) {
    return withBoth(browser, 6 * MB, async (profile, server) => {
      const model = `${server.url}model.gguf`;
      const visit = await profile.visit();
      const page = await visit.open(url);
      await value(page, "add", model);
      [server.file, server.tag] = [makeUp(6 * MB, 2), '"2"'];
      assert.equal((await value(page, "add", model)).fetched, 6 * MB);
      assert.equal(await exported(page, model), sha256(server.file));
      assert.equal((await value(page, "list")).length, 1);
      await visit.close();
    });
  },

  async "a database of an older program is taken over, one of a newer program is left alone"(_, { url, browser }) {
    return withBoth(browser, 4 * MB, async (profile) => {
      const visit = await profile.visit();
      const page = await visit.open(url);
      const make = (version) =>
        page.evaluate(async (version) => {
          await new Promise((resolve, reject) => {
            const request = indexedDB.open("quire", version);
            request.onupgradeneeded = ({ oldVersion }) => {
              if (oldVersion > 0) return;
              const files = request.result.createObjectStore("files", { keyPath: "id", autoIncrement: true });
              for (const store of ["journal", "bytes", "notes"]) request.result.createObjectStore(store);
              files.add({ location: "https://example.com/a.gguf", size: 5, tag: null });
            };
            request.onsuccess = () => resolve(request.result.close());
            request.onerror = () => reject(request.error);
          });
        }, version);
      await make(1);
      const kept = [{ url: "https://example.com/a.gguf", size: 5, kept: 0, tag: null }];
      assert.deepEqual(await value(page, "list"), kept);
      await make(1000);
      const newer = await call(page, "list");
      assert.equal(newer.code, "unsupported");
      assert.match(newer.message, /format newer/);
      await visit.close();
    });
  },

  async "in a private window the cache works or says that it cannot"(tab, { url }) {
    await tab.goto(`${url}?model=`);
    const { home } = await value(tab, "estimate");
    const { code, value: list } = await call(tab, "list");
    if (home) assert.deepEqual(list, []);
    else assert.equal(code, "unsupported");
    return home ?? "nothing is kept";
  },
};

/** In the page: loads a model, runs it, and tells what it cost. */
async function loadOnce({ model, cache }) {
  const { createEngine } = await import(new URL("index.js", document.baseURI).href);
  const warnings = [];
  const engine = await createEngine({ model, cache, onWarning: ({ code }) => warnings.push(code) });
  const logits = await engine.logits(Uint32Array.of(1, 2, 3));
  const [info, stats] = [engine.info, await engine.stats()];
  await engine.unload();
  return { cache: info.cache, fetched: stats.bytes_fetched, logits: [...logits.subarray(0, 16)], warnings };
}

export const withEngine = {
  async "a cached model opens and answers with no network at all"(_, { url, browser }) {
    const nano = await readFile(new URL("../vectors/nano/nano.gguf", import.meta.url));
    const notes = [];
    for (const home of ["indexeddb", "opfs", "none"]) {
      const [profile, server] = await Promise.all([Profile.make(browser), Server.start(nano)]);
      try {
        const model = `${server.url}nano.gguf`;
        const first = await profile.visit({ webgpu: true });
        const was = await (await first.open(url)).evaluate(loadOnce, { model, cache: home });
        await first.close();
        assert.equal(was.cache, home);
        assert.equal(was.fetched, server.sent);
        const second = await profile.visit({ webgpu: true });
        const page = await second.open(url);
        if (home === "none") {
          assert.equal((await page.evaluate(loadOnce, { model, cache: home })).fetched, was.fetched);
        } else {
          await server.stop();
          const now = await page.evaluate(loadOnce, { model, cache: home });
          assert.deepEqual(now, { ...was, fetched: 0 });
        }
        await second.close();
        notes.push(`${home}: ${was.fetched} bytes of ${nano.length} at first`);
      } finally {
        await server.stop().catch(() => {});
        await profile.remove();
      }
    }
    return notes.join(", ");
  },
};
