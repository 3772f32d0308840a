// The engine over what is kept of its model.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { fill, MB, served, sha256, value } from "./kept.mjs";
import { withProfile } from "./profile.mjs";

/** In the page: loads a model from each home, runs it, and tells what that cost. */
async function loadEach({ url, homes }) {
  const { createEngine } = await import(new URL("index.js", document.baseURI).href);
  const told = {};
  for (const home of homes) {
    const warnings = [];
    const onWarning = ({ code }) => warnings.push(code);
    const engine = await createEngine({ model: `${url}${home}.gguf`, cache: home, onWarning });
    const logits = await engine.logits(Uint32Array.of(1, 2, 3));
    const { bytes_fetched: fetched } = await engine.stats();
    told[home] = { cache: engine.info.cache, fetched, warnings, logits: [...logits.subarray(0, 16)] };
    await engine.unload();
  }
  return told;
}

/** In the page: answers with a model until the fill has checked it; resolves to what it says then. */
async function checked({ model, manifest }) {
  const { createEngine } = await import(new URL("index.js", document.baseURI).href);
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const onWarning = ({ code, message }) => tell({ code, message });
  const engine = await createEngine({ model, manifest, onWarning });
  engine.on("fill", ({ verified }) => verified && tell({ verified }));
  await engine.completions.create({ prompt: [1, 2, 3], max_tokens: 2 });
  const what = await told;
  await engine.unload();
  return what;
}

/** In the page: loads a model `from` its URL or a file, keeping nothing; resolves to the warnings, or to why it failed. */
async function loadUnkept({ model, from, manifest }) {
  const { createEngine } = await import(new URL("index.js", document.baseURI).href);
  const file = async () => new File([await (await fetch(model)).blob()], "model.gguf");
  const warnings = [];
  const onWarning = ({ code, message }) => warnings.push({ code, message });
  try {
    const engine = await createEngine({ model: from === "file" ? await file() : model, cache: "none", manifest, onWarning });
    await engine.unload();
    return warnings;
  } catch ({ code, message }) {
    return { code, message };
  }
}

export const tests = {
  async "a cached model opens and answers with no network at all"(_, { url, browser }) {
    const nano = await readFile(new URL("../vectors/nano/nano.gguf", import.meta.url));
    const test = async (profile, server) => {
      const first = await profile.visit({ webgpu: true });
      let page = await first.open(url);
      const was = await page.evaluate(loadEach, { url: server.url, homes: ["indexeddb"] });
      assert.equal(was.indexeddb.fetched, server.sent);
      assert.deepEqual(was.indexeddb.warnings, []);
      await value(page, "add", `${server.url}opfs.gguf`, { home: "opfs" });
      await first.close();
      await server.stop();

      const second = await profile.visit({ webgpu: true });
      page = await second.open(url);
      const now = await page.evaluate(loadEach, { url: server.url, homes: ["indexeddb", "opfs"] });
      await second.close();
      assert.deepEqual(now.indexeddb, { ...was.indexeddb, fetched: 0 });
      assert.deepEqual(now.opfs, { ...now.indexeddb, cache: "opfs" });
      return `${was.indexeddb.fetched} bytes of ${nano.length} at the first visit, 0 at the second`;
    };
    return withProfile(browser, (profile) => served(nano, (server) => test(profile, server)));
  },

  async "what the fill has fetched is held against a manifest, and a wrong file is said to be one"(_, { url, browser }) {
    const nano = await readFile(new URL("../vectors/nano/nano.gguf", import.meta.url));
    const test = async (profile, server, model) => {
      const visit = await profile.visit({ webgpu: true });
      const page = await visit.open(url);
      const told = async (sum) => {
        const manifest = { files: [{ url: model, size: nano.length, sha256: sum }] };
        return await page.evaluate(checked, { model, manifest });
      };
      assert.deepEqual(await told(sha256(nano)), { verified: true });
      const wrong = await told(sha256(Buffer.from("another")));
      await visit.close();
      assert.equal(wrong.code, "integrity");
      return wrong.message;
    };
    return withProfile(browser, (profile) => served(nano, (server, model) => test(profile, server, model)));
  },

  async "where nothing is kept a manifest's size is checked, and that its sums are not is said"(_, { url, browser }) {
    const nano = await readFile(new URL("../vectors/nano/nano.gguf", import.meta.url));
    const test = async (profile, server, model) => {
      const visit = await profile.visit({ webgpu: true });
      const page = await visit.open(url);
      const told = (from, size) => page.evaluate(loadUnkept, { model, from, manifest: { files: [{ url: model, size, sha256: sha256(nano) }] } });
      for (const from of ["url", "file"]) {
        const warned = await told(from, nano.length);
        assert.deepEqual([warned.length, warned[0].code], [1, "unsupported"]);
        assert.match(warned[0].message, /sums of the manifest are not checked/);
        const refused = await told(from, nano.length + 1);
        assert.equal(refused.code, "integrity", JSON.stringify(refused));
        assert.match(refused.message, /its size is 458496, 458497 was expected/);
      }
      await visit.close();
    };
    return withProfile(browser, (profile) => served(nano, (server, model) => test(profile, server, model)));
  },

  async "a model opens and answers where there is no room to keep it, which is said"(_, { url, browser }) {
    const nano = await readFile(new URL("../vectors/nano/nano.gguf", import.meta.url));
    const test = async (profile, server) => {
      const visit = await profile.visit({ webgpu: true, storage: 12 * MB });
      const page = await visit.open(url);
      await page.evaluate(fill);
      const { auto } = await page.evaluate(loadEach, { url: server.url, homes: ["auto"] });
      assert.deepEqual(auto.warnings, ["quota"]);
      assert.equal(auto.fetched, server.sent);
      assert.ok(auto.logits.every(Number.isFinite));
      await visit.close();
    };
    return withProfile(browser, (profile) => served(nano, (server) => test(profile, server)));
  },
};
