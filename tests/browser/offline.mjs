// The static site, whole: its own worker and engine, a model from another host, and then neither host any more. With a profile that lasts.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { noteOrigin } from "./browsers.mjs";
import { serveFolders } from "./folder.mjs";
import { served } from "./kept.mjs";
import { withProfile } from "./profile.mjs";

const SAID = "Hello, world! How are you?";

/** Waits for `what`, until `fn(arg)` is true in `page`. */
const until = (page, what, fn, arg) =>
  page.waitForFunction(fn, { timeout: 300_000, polling: 100 }, arg).catch((error) => {
    throw new Error(`no ${what}: ${error.message}`);
  });
const loaded = (page) => until(page, "model", () => document.getElementById("adapter").textContent !== "");
/** Asks, and gives the answer. */
async function ask(page, text) {
  const before = await page.evaluate(() => document.querySelectorAll(".answer").length);
  await page.locator("#message").fill(text);
  await page.locator("#send:enabled").click();
  await until(page, `answer to "${text}"`, (before) => document.querySelectorAll(".answer").length > before && document.getElementById("stop").hidden, before);
  return page.evaluate(() => [...document.querySelectorAll(".answer")].at(-1).textContent.trim());
}

export const tests = {
  async "a model that is all here answers when neither the page's host nor the model's is there any more"(_, { browser, parrot }) {
    const file = await readFile(parrot);
    await withProfile(browser, async (profile) => {
      const site = await serveFolders({ quire: [process.env.SITE] });
      const visit = await profile.visit({ webgpu: true, persists: true });
      const page = await visit.open(`${site.url}quire/`);
      const origins = new Set();
      page.on("request", (request) => noteOrigin(request, origins));
      const known = await served(file, async (server, url) => {
        await page.goto(`${site.url}quire/?${new URLSearchParams({ model: url, temperature: "0" })}`);
        await loaded(page);
        assert.equal(await ask(page, "Hello!"), SAID);
        await until(page, "whole model", () => /^All of the model is here/.test(document.getElementById("fill-words").textContent));
        await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
        return [site.url, url].map((url) => new URL(url).origin);
      });
      await site.stop();
      const gone = await page.evaluate((hosts) => Promise.all(hosts.map((host) => fetch(host).then(() => "there", () => "gone"))), [`${site.url}absent`]);
      assert.deepEqual(gone, ["gone"]);
      await page.reload();
      await loaded(page);
      assert.equal(await page.evaluate(() => document.querySelectorAll(".answer").length), 1);
      assert.equal(await ask(page, "And again?"), SAID);
      assert.deepEqual([...origins].filter((origin) => !known.includes(origin)), [], "others were asked");
      assert.deepEqual(visit.errors, []);
    });
  },
};
