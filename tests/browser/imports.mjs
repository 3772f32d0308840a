// Files that are imported: what comes of them, and that nothing does of an import that ends early.

import assert from "node:assert/strict";

import { exported, MB, served, sha256, value } from "./kept.mjs";
import { withProfile } from "./profile.mjs";
import { makeUp } from "./server.mjs";

/** Half of it is more than what waits to be written, and the rest takes longer than its end. */
const LARGE = 64 * MB;

/** In the page: lets `home` be the one that reads faster, as though it had been measured. */
async function prefer(home) {
  const opening = indexedDB.open("quire");
  await new Promise((resolve) => (opening.onsuccess = resolve));
  const writing = opening.result.transaction("settings", "readwrite");
  writing.objectStore("settings").put({ indexeddb: 1, opfs: 1, [home]: 2 }, "measured");
  await new Promise((resolve) => (writing.oncomplete = resolve));
  opening.result.close();
}

/** In the page: how many extents the storage has, whoever may use them. */
async function extents() {
  const opening = indexedDB.open("quire");
  await new Promise((resolve) => (opening.onsuccess = resolve));
  const counting = opening.result.transaction("journal").objectStore("journal").count();
  await new Promise((resolve) => (counting.onsuccess = resolve));
  opening.result.close();
  return counting.result;
}

/** In the page: imports what `model` is now, until `bytes` are done; stops it then, or leaves it under way. */
async function importSome({ model, bytes, stops }) {
  const { cache } = await import(new URL("index.js", document.baseURI).href);
  const file = await (await fetch(model, { cache: "no-store" })).blob();
  const stop = new AbortController();
  return new Promise((resolve) => {
    const onProgress = ({ loaded }) => {
      if (loaded < bytes) return;
      if (stops) stop.abort();
      else resolve("under way");
    };
    cache.import(file, model, { onProgress, signal: stop.signal }).then(() => resolve("imported"), (error) => resolve(error.name));
  });
}

/** The tests that hold for each home. */
const ofHome = (home) => ({
  async [`${home}: of an import that is stopped, or dies with its tab or the browser, nothing joins the server's file`](_, { url, browser }) {
    const test = async (profile, server, model) => {
      const [ours, theirs] = [server.file, makeUp(LARGE, 2)];
      let visit = await profile.visit();
      let page = await visit.open(url);
      await value(page, "estimate");
      await page.evaluate(prefer, home);
      assert.equal((await value(page, "estimate")).home, home);
      const left = [];
      for (const end of ["stopped", "closed", "killed"]) {
        server.file = ours;
        const how = await page.evaluate(importSome, { model, bytes: LARGE / 2, stops: end === "stopped" });
        assert.equal(how, end === "stopped" ? "AbortError" : "under way");
        if (end === "closed") {
          await page.close();
          page = await visit.open(url);
        } else if (end === "killed") {
          await visit.kill();
          visit = await profile.visit();
          page = await visit.open(url);
        }
        left.push(await page.evaluate(extents));
        assert.ok(left.at(-1) > 0, `${end}: nothing was imported yet`);
        // Of the same size and under the same tag as far as anybody knows. Who lists it discards it, and so does who opens it.
        server.file = theirs;
        if (end === "stopped") {
          assert.equal(await value(page, "has", model), false);
          assert.deepEqual(await value(page, "list"), []);
        }
        assert.deepEqual(await value(page, "add", model, { home }), { size: LARGE, fetched: LARGE }, end);
        assert.equal((await value(page, "verify", model)).sha256, sha256(theirs), end);
        await value(page, "remove", model);
      }
      await visit.close();
      return `${left.join(", ")} extents were left`;
    };
    return withProfile(browser, (profile) => served(makeUp(LARGE), (server, model) => test(profile, server, model)));
  },
});

export const tests = {
  async "what is imported is not fetched, and can be listed, exported and removed"(visit, { url }) {
    return served(makeUp(6 * MB), async (server, model) => {
      const page = await visit.open(url);
      const others = await value(page, "size");
      assert.equal(await page.evaluate(importSome, { model, bytes: 7 * MB }), "imported");
      const { sent } = server;
      assert.deepEqual(await value(page, "add", model), { size: 6 * MB, fetched: 0 });
      const list = await value(page, "list");
      assert.deepEqual(list.at(-1), { url: model, size: 6 * MB, kept: 6 * MB, tag: null });
      assert.equal(await value(page, "size"), others + 6 * MB);
      assert.equal(await exported(page, model), sha256(server.file));
      assert.equal(server.sent, sent);
      // Again it brings nothing, and another file does not take its place unasked.
      assert.equal(await page.evaluate(importSome, { model, bytes: 7 * MB }), "imported");
      server.file = makeUp(6 * MB, 2);
      assert.equal(await page.evaluate(importSome, { model, bytes: 7 * MB }), "QuireError");
      assert.deepEqual(await value(page, "list"), list);
      assert.equal(await value(page, "remove", model), 6 * MB);
      assert.deepEqual(await value(page, "list"), list.slice(0, -1));
      assert.equal(await value(page, "remove", model), 0);
      await page.close();
    });
  },

  ...ofHome("indexeddb"),
  ...ofHome("opfs"),
};
