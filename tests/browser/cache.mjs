// What is kept of a model from one visit to the next: both homes, tabs that die, bytes that rot, storage that is full.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { addForAWhile, ask, call, exported, flip, holdParts, keptOf, MB, served, sha256, value } from "./kept.mjs";
import { withProfile } from "./profile.mjs";
import { makeUp } from "./server.mjs";

/** A checksum covers so much, and so much is committed at once. */
const [CHUNK, EXTENT] = [256 << 10, 2 * MB];
/** Requests of a download at once. */
const REQUESTS = 4;
/**
 * What may be lost when a tab or a browser dies: an extent that grows for each request, and what waits to be written, after which
 * reading pauses. What the line holds beside these is next to nothing as long as all that is sent is read at once, so
 * that test sends no more than half of what a busy machine writes.
 */
const LOSS = REQUESTS * EXTENT + 8 * MB;
const BANDWIDTH = 12 * MB;
const KILLS = 20;
const SEEDS = 20;
/** The ways in which the CDN simulator fails by chance, but for a false size, of which a file that comes at once tells nothing. */
const FAULTS = ["truncate", "stall", "429", "416", "5xx", "reset", "refuse", "lie-start", "ignore-range"];

/** The tests that hold for each home. `visit` is a browser with storage that lasts. */
const ofHome = (home) => ({
  async [`${home}: the second visit fetches no byte, and needs no network`](visit, { url }) {
    return served(makeUp(24 * MB), async (server, model) => {
      const first = await visit.open(url);
      assert.equal(await value(first, "has", model), false);
      const begin = performance.now();
      assert.deepEqual(await value(first, "add", model, { home }), { size: 24 * MB, fetched: 24 * MB });
      const seconds = (performance.now() - begin) / 1000;
      await first.close();
      assert.equal(server.sent, 24 * MB);

      const second = await visit.open(url);
      assert.deepEqual(await value(second, "add", model, { home }), { size: 24 * MB, fetched: 0 });
      assert.equal(server.sent, 24 * MB);
      await server.stop();
      assert.deepEqual(await value(second, "add", model, { home }), { size: 24 * MB, fetched: 0 });
      assert.equal(await value(second, "has", model), true);
      assert.equal(await exported(second, model), sha256(server.file));
      await second.close();
      return `kept at ${(24 / seconds).toFixed(0)} MiB/s`;
    });
  },

  async [`${home}: a flipped byte is noticed, and its chunk alone is fetched again`](visit, { url }) {
    return served(makeUp(12 * MB), async (server, model) => {
      const first = await visit.open(url);
      await value(first, "add", model, { home });
      await first.close();
      const page = await visit.open(url);
      await page.evaluate(flip, { model, at: 1_000_000 });
      assert.deepEqual(await value(page, "add", model, { home }), { size: 12 * MB, fetched: CHUNK });
      assert.equal(server.sent, 12 * MB + CHUNK);
      assert.equal(await exported(page, model), sha256(server.file));

      await page.evaluate(flip, { model, at: 2_000_000 });
      assert.equal((await value(page, "verify", model)).badChunks, 1);
      assert.equal((await call(page, "export", model)).code, "invalid_request");
      assert.equal((await value(page, "add", model, { home })).fetched, CHUNK);
      assert.equal((await value(page, "verify", model)).sha256, sha256(server.file));
      await page.close();
    });
  },

  async [`${home}: two tabs fetch no byte twice, and both have all of them`](visit, { url }) {
    return served(makeUp(24 * MB), async (server, model) => {
      server.bandwidth = 16 * MB;
      const pages = [await visit.open(url), await visit.open(url)];
      const added = await Promise.all(pages.map((page) => value(page, "add", model, { home })));
      assert.equal(server.sent, 24 * MB, `each fetched ${added.map(({ fetched }) => fetched)}`);
      for (const page of pages) {
        assert.equal(await exported(page, model), sha256(server.file));
        await page.close();
      }
      return added.map(({ fetched }) => `${(fetched / MB).toFixed(1)} MiB`).join(" and ");
    });
  },

  async [`${home}: what came before an abort is kept, and the rest alone is fetched later`](visit, { url }) {
    return served(makeUp(48 * MB), async (server, model) => {
      const page = await visit.open(url);
      server.bandwidth = 16 * MB;
      assert.equal(await page.evaluate(addForAWhile, { model, home, milliseconds: 2000 }), "AbortError");
      const kept = await keptOf(page, model);
      assert.ok(kept > 0 && kept < 48 * MB, `${kept} bytes are kept`);
      server.bandwidth = Infinity;
      assert.deepEqual(await value(page, "add", model, { home }), { size: 48 * MB, fetched: 48 * MB - kept });
      assert.equal(await exported(page, model), sha256(server.file));
      await page.close();
      return `${(kept / MB).toFixed(1)} MiB were kept`;
    });
  },

  async [`${home}: killed at ${KILLS} random moments, each visit goes on where the last one was`](_, { url, browser }) {
    const test = async (profile, server, model) => {
      server.bandwidth = BANDWIDTH;
      let visit = await profile.visit();
      let page = await visit.open(url);
      const lost = [];
      let [kept, counted, seed, telling] = [0, 0, 7, 0];
      for (let kill = 0; kill < KILLS; kill += 1) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        const work = call(page, "add", model, { home }).catch(() => {});
        // Half of the visits get more than may be lost, so that some of it must be kept.
        const most = Math.floor((seed / 2147483648) * LOSS) + (kill % 4 < 2 ? LOSS : 0);
        await Promise.race([work, server.hasSent(counted + most)]);
        if (server.sent - counted > LOSS) telling += 1;
        // Now the tab, which its browser ends in order, now the whole browser, which nobody does.
        if (kill % 2 === 0) {
          await visit.kill();
          visit = await profile.visit();
        } else {
          await page.close();
        }
        await work;
        page = await visit.open(url);
        const now = await keptOf(page, model);
        assert.ok(now >= kept, `${kept - now} bytes that were kept are gone`);
        lost.push(kept + (server.sent - counted) - now);
        [kept, counted] = [now, server.sent];
      }
      assert.ok(telling >= KILLS / 2, `${telling} visits got more than may be lost`);
      assert.ok(kept < server.file.length, `${kept} bytes are kept`);
      const most = Math.max(...lost);
      assert.ok(most <= LOSS, `${most} bytes were lost at once`);
      server.bandwidth = Infinity;
      assert.equal((await value(page, "verify", model)).badChunks, 0);
      assert.equal((await value(page, "add", model, { home })).fetched, server.file.length - kept);
      assert.equal((await value(page, "verify", model)).sha256, sha256(server.file));
      await visit.close();
      const mean = (server.sent - server.file.length) / KILLS;
      const worst = [0, 1].map((way) => (Math.max(...lost.filter((_, kill) => kill % 2 === way)) / MB).toFixed(1));
      return `fetched again after a kill: ${(mean / MB).toFixed(1)} MiB on average; at most ${worst[0]} of a browser, ${worst[1]} of a tab`;
    };
    return withProfile(browser, (profile) => served(makeUp(480 * MB), (server, model) => test(profile, server, model)));
  },

  async [`${home}: what comes over a line that fails in every way is what the server has`](visit, { url, cdn }) {
    const sum = sha256(await readFile(new URL("../vectors/nano/nano-f32.gguf", import.meta.url)));
    const model = `${cdn}nano/nano-f32.gguf`;
    const page = await visit.open(url);
    const faults = Object.fromEntries([...FAULTS, "lie-total", "expire"].map((name) => [name, 0]));
    for (let seed = 0; seed < SEEDS; seed += 1) {
      // One of each in turn, others by chance.
      await ask(cdn, `faults?faults,rate=0.3,redirect=5,stall=100,seed=${seed},2:${FAULTS[seed % FAULTS.length]}`);
      await ask(cdn, "reset");
      await value(page, "add", model, { home });
      for (const [name, n] of Object.entries(JSON.parse(await ask(cdn, "counts")).faults)) faults[name] += n;
      assert.equal(await exported(page, model), sum, `seed ${seed}`);
      await value(page, "remove", model);
    }
    await ask(cdn, "faults");
    await page.close();
    assert.ok(FAULTS.every((name) => faults[name] >= 2), JSON.stringify(faults));
    return JSON.stringify(faults);
  },

  async [`${home}: full storage is a quota error; nothing is lost, and with room it goes on`](_, { url, browser }) {
    const test = async (profile, server, model) => {
      const visit = await profile.visit({ storage: 44 * MB });
      const page = await visit.open(url);
      const other = `${server.url}other.gguf`;
      await value(page, "add", other, { home });
      const full = await call(page, "add", model, { home });
      assert.equal(full.code, "quota", JSON.stringify(full));
      assert.match(full.message, /2\.1 MB more are needed.*cache\.remove makes room; kept are .*other\.gguf \(33\.6 MB\)/);
      const kept = await keptOf(page, model);
      assert.ok(kept > 0 && kept <= 12 * MB, `${kept} bytes are kept`);
      assert.equal((await value(page, "verify", model)).badChunks, 0);

      assert.equal(await value(page, "remove", other), 32 * MB);
      assert.equal((await value(page, "add", model, { home })).fetched, 32 * MB - kept);
      assert.equal(await exported(page, model), sha256(server.file));
      await visit.close();
      return full.message;
    };
    return withProfile(browser, (profile) => served(makeUp(32 * MB), (server, model) => test(profile, server, model)));
  },
});

export const tests = {
  async "a server that falls silent is asked again after 15 s, for what had not come"(visit, { url }) {
    return served(makeUp(8 * MB), async (server, model) => {
      const page = await visit.open(url);
      server.bandwidth = 4 * MB;
      const adding = value(page, "add", model);
      await server.hasSent(2 * MB);
      server.fallSilent();
      const begin = performance.now();
      await adding;
      const seconds = (performance.now() - begin) / 1000;
      assert.equal(await exported(page, model), sha256(server.file));
      await page.close();
      assert.ok(seconds > 15 && seconds < 35, `it took ${seconds} s`);
      // What had come stays; what was on its way comes again.
      assert.ok(server.sent < 9 * MB, `${server.sent} bytes were sent`);
      return `${seconds.toFixed(1)} s`;
    });
  },

  async "a tab that stands still with parts of a file is waited for 15 s, and then they are fetched without it"(visit, { url }) {
    return served(makeUp(24 * MB), async (server, model) => {
      const first = await visit.open(url);
      server.bandwidth = 4 * MB;
      const adding = call(first, "add", model).catch(() => {});
      await server.hasSent(1 * MB);
      await first.close();
      await adding;
      const still = await visit.open(url);
      assert.equal(await still.evaluate(holdParts, { model, parts: 6 }), 6);
      const page = await visit.open(url);
      const kept = await keptOf(page, model);
      server.bandwidth = Infinity;
      const begin = performance.now();
      assert.equal((await value(page, "add", model)).fetched, 24 * MB - kept);
      const seconds = (performance.now() - begin) / 1000;
      assert.equal(await exported(page, model), sha256(server.file));
      await page.close();
      await still.close();
      assert.ok(seconds > 15 && seconds < 40, `it took ${seconds} s`);
      return `${seconds.toFixed(1)} s`;
    });
  },

  async "the faster home is measured once and chosen"(visit, { url }) {
    const page = await visit.open(url);
    const begin = performance.now();
    const { home, rates, quota } = await value(page, "estimate");
    const seconds = (performance.now() - begin) / 1000;
    assert.ok(rates.indexeddb > 0 && rates.opfs > 0 && quota > 0);
    assert.equal(home, rates.opfs > rates.indexeddb ? "opfs" : "indexeddb");
    assert.deepEqual((await value(page, "estimate")).rates, rates);
    await page.close();
    const [blobs, files] = [rates.indexeddb, rates.opfs].map((rate) => `${(rate / 1e6).toFixed(0)} MB/s`);
    return `${home}; IndexedDB ${blobs}, OPFS ${files}; ${seconds.toFixed(2)} s with the start of the worker`;
  },

  async "the browser is asked not to clear what is kept"(visit, { url }) {
    return served(makeUp(1 * MB), async (_, model) => {
      const page = await visit.open(url);
      await page.evaluate(() => {
        const { persist } = StorageManager.prototype;
        StorageManager.prototype.persist = function () {
          globalThis.isAsked = true;
          return persist.call(this);
        };
      });
      await value(page, "add", model);
      assert.equal(await page.evaluate(() => globalThis.isAsked), true);
      assert.equal((await value(page, "estimate")).persisted, true);
      await page.close();
    });
  },

  ...ofHome("indexeddb"),
  ...ofHome("opfs"),

  async "another version on the server takes the place of the old one"(visit, { url }) {
    return served(makeUp(6 * MB), async (server, model) => {
      const page = await visit.open(url);
      await value(page, "add", model);
      [server.file, server.tag] = [makeUp(6 * MB, 2), '"2"'];
      assert.equal((await value(page, "add", model)).fetched, 6 * MB);
      assert.equal(await exported(page, model), sha256(server.file));
      assert.equal((await value(page, "list")).filter(({ url }) => url === model).length, 1);
      await page.close();
    });
  },

  async "a server that shows no header of its own to other origins is done without them, or told what to show"(visit, { url }) {
    return served(makeUp(6 * MB), async (server, model) => {
      server.showsHeaders = false;
      const page = await visit.open(url);
      assert.deepEqual(await value(page, "add", model), { size: 6 * MB, fetched: 6 * MB });
      assert.deepEqual(await value(page, "add", model), { size: 6 * MB, fetched: 0 });
      assert.equal(await exported(page, model), sha256(server.file));
      assert.equal(server.sent, 6 * MB);

      server.knowsHead = false;
      const { code, message } = await call(page, "add", `${server.url}other.gguf`);
      assert.equal(code, "network");
      assert.match(message, /other\.gguf does not say its size.* Access-Control-Expose-Headers: Content-Range/);
      await page.close();
    });
  },

  async "a CDN that hides its headers from other origins is done without them, also where it fails"(visit, { url, cdn }) {
    const file = await readFile(new URL("../vectors/nano/nano-f32.gguf", import.meta.url));
    const model = `${cdn}nano/nano-f32.gguf`;
    const page = await visit.open(url);
    const shown = () => page.evaluate(async (model) => [...(await fetch(model, { method: "HEAD", cache: "no-store" })).headers.keys()], model);
    const tag = async () => (await value(page, "list")).find((kept) => kept.url === model)?.tag;
    assert.ok((await shown()).includes("etag"));
    await value(page, "add", model);
    assert.match(await tag(), /./);
    await value(page, "remove", model);

    await ask(cdn, "faults?hide,2:truncate,3:truncate,4:truncate");
    await ask(cdn, "reset");
    assert.equal((await value(page, "add", model)).size, file.length);
    const { faults } = JSON.parse(await ask(cdn, "counts"));
    assert.ok(!(await shown()).some((name) => ["etag", "content-range"].includes(name)));
    await ask(cdn, "faults");
    assert.ok(faults.truncate > 0, JSON.stringify(faults));
    assert.equal(await tag(), null);
    assert.equal(await exported(page, model), sha256(file));
    await value(page, "remove", model);
    await page.close();
  },

  async "a manifest's sum is held against what came, and knows the file at another address"(visit, { url }) {
    return served(makeUp(6 * MB), async (server, model) => {
      const page = await visit.open(url);
      const manifest = (sum) => ({ files: [{ url: "model.gguf", size: 6 * MB, sha256: sum }] });
      const right = manifest(sha256(server.file));
      const wrong = await call(page, "add", model, { manifest: manifest(sha256(Buffer.from("another"))) });
      assert.equal(wrong.code, "integrity", JSON.stringify(wrong));
      assert.match(wrong.message, /SHA-256/);
      assert.equal(await keptOf(page, model), 0);
      assert.equal((await value(page, "add", model, { manifest: right })).fetched, 6 * MB);
      const { announced, sha256: sum } = await value(page, "verify", model);
      assert.deepEqual({ announced, sum }, { announced: true, sum: sha256(server.file) });

      server.tag = '"renewed"';
      const moved = model.replace("model.gguf", "elsewhere/model.gguf");
      assert.deepEqual(await value(page, "add", moved, { manifest: right }), { size: 6 * MB, fetched: 0 });
      assert.equal((await call(page, "add", model, { manifest: { files: [] } })).code, "invalid_request");
      await page.close();
    });
  },

  async "a file that not everybody may read is fetched with a token, which is kept nowhere"(visit, { url }) {
    return served(makeUp(1 * MB), async (server, model) => {
      server.token = "hf_secret";
      const page = await visit.open(url);
      assert.equal((await call(page, "add", model)).code, "network");
      assert.equal((await value(page, "add", model, { token: server.token })).fetched, 1 * MB);
      assert.equal((await value(page, "add", model)).fetched, 0);
      assert.equal(await visit.profile.holds(server.token), false);
      await page.close();
    });
  },

  async "a database of an older program is taken over, one of a newer program is left alone"(visit, { url }) {
    const page = await visit.open(url);
    await page.evaluate(() => new Promise((resolve) => (indexedDB.deleteDatabase("quire").onsuccess = resolve)));
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
    await page.close();
  },
};

/** `tab` is in a private window of Chromium. */
export const inPrivate = {
  async "in a private window the cache works or says that it cannot"(tab, { url }) {
    await tab.goto(`${url}?model=`);
    const { home } = await value(tab, "estimate");
    const { code, value: list } = await call(tab, "list");
    if (home) assert.deepEqual(list, []);
    else assert.equal(code, "unsupported");
    return home ?? "nothing is kept";
  },
};

/** What takes a hand in the worker, which Puppeteer has in Chromium alone. */
export const inChromium = {
  async "without a network fetching fails in words"(visit, { url }) {
    return served(makeUp(MB), async (_, model) => {
      const page = await visit.open(url);
      // Starts the worker, which stays for a while.
      await value(page, "estimate");
      await page.setOfflineMode(true);
      const { code, message } = await call(page, "add", model);
      assert.equal(code, "network", message);
      assert.match(message, /model\.gguf.*there is no network/);
      await page.close();
      return message;
    });
  },

  async "without Web Locks all is kept as well, and no request counts as cancelled"(visit, { url }) {
    return served(makeUp(12 * MB), async (_, model) => {
      const page = await visit.open(url);
      // Starts the worker, which stays for a while.
      await value(page, "estimate");
      const [worker] = page.workers();
      const hasLocks = await worker.evaluate(() => {
        delete Object.getPrototypeOf(navigator).locks;
        return "locks" in navigator;
      });
      assert.equal(hasLocks, false);
      const cancelled = [];
      await worker.client.send("Network.enable");
      worker.client.on("Network.loadingFailed", (event) => cancelled.push(event.errorText));
      assert.equal((await value(page, "add", model)).fetched, 12 * MB);
      assert.equal(await value(page, "has", model), true);
      assert.deepEqual(cancelled, []);
      await page.close();
    });
  },
};
