// The page that `quire serve` serves, whose engine is the server: with the model that speaks by a script, and without WebGPU.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { browsers } from "./browsers.mjs";

const SAID = "Hello, world! How are you?";
const KEY = "of-the-tests";

/** A tab without WebGPU, and a server that asks for a key; `tab.quire` is its address and how to end it. */
export async function openServed({ browser }) {
  const server = spawn(process.env.QUIRE, ["serve", process.env.PARROT, "--port", "0", "--api-key", KEY], { stdio: ["ignore", "ignore", "pipe"] });
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill("SIGKILL");
    await once(server, "exit");
  };
  let url;
  for await (const line of createInterface({ input: server.stderr })) {
    url = /at (http:\/\/.*\/)v1$/.exec(line)?.[1];
    if (url) break;
  }
  assert.ok(url, "quire serve did not say where it listens");
  const { tab, close } = await browsers[browser].open({ webgpu: false });
  tab.quire = { url, stop };
  return { tab, close: () => close().finally(stop) };
}

const open = async (tab) => {
  await tab.page.type("#key", KEY);
  await tab.click("button", "Open");
  await tab.until("the model", () => document.getElementById("model").textContent);
};
const ask = async (tab, text) => {
  await tab.fill("textbox", "Message", text);
  await tab.click("button", "Send");
  await tab.until("the answer to end", () => document.getElementById("stop").hidden && document.querySelector(".answer") !== null);
};
const last = (tab, what) => tab.evaluate((what) => [...document.querySelectorAll(`[role=log] ${what}`)].at(-1)?.textContent, what);
const title = (tab) => tab.until("what is in the way", () => document.getElementById("trouble-title").textContent);

export const tests = {
  async "a server that has a key asks for it, and again if it is wrong"(tab, { browser, screenshots }) {
    await tab.goto(tab.quire.url);
    assert.equal(await title(tab), "This server asks for a key");
    if (screenshots) await tab.screenshot(join(screenshots, `${browser}-key.png`));
    await tab.page.type("#key", "another");
    await tab.click("button", "Open");
    await tab.until("a word on it", () => document.getElementById("trouble-words").textContent === "It does not know this one.");
    await open(tab);
    assert.deepEqual(await tab.evaluate(() => [document.getElementById("model").textContent, document.getElementById("trouble").hidden]), ["parrot", true]);
  },

  async "the server answers, its thoughts folded, and goes on with the conversation"(tab, { browser, screenshots }) {
    await ask(tab, "Hello!");
    assert.equal((await last(tab, ".answer")).trim(), SAID);
    assert.match(await last(tab, "details"), /They greet me\./);
    await ask(tab, "And again?");
    assert.equal(await tab.evaluate(() => document.querySelectorAll("[role=log] .answer").length), 2);
    assert.equal((await last(tab, ".answer")).trim(), SAID);
    if (screenshots) await tab.screenshot(join(screenshots, `${browser}-served.png`));
  },

  async "the key and the conversation are there at the next visit"(tab) {
    await tab.goto(tab.quire.url);
    await tab.until("the model", () => document.getElementById("model").textContent);
    await tab.until("the list", () => document.querySelector("#chats a, #chats button") !== null);
    assert.equal(await tab.evaluate(() => document.getElementById("trouble").hidden), true);
  },

  async "what is for an engine in the browser is neither shown nor fetched"(tab) {
    const found = await tab.evaluate(() => ({
      storage: document.getElementById("open-storage").checkVisibility(),
      choose: document.getElementById("choose").disabled,
      welcome: document.getElementById("welcome").innerText.trim(),
      fetched: performance.getEntriesByType("resource").map(({ name }) => new URL(name).pathname),
    }));
    assert.deepEqual([found.storage, found.choose], [false, true]);
    assert.match(found.welcome, /^A model on your server/);
    assert.deepEqual(found.fetched.filter((path) => /worker|wasm|sw\.js|catalogue/.test(path)), []);
    assert.deepEqual(await tab.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
    assert.deepEqual(tab.errors.filter((text) => !text.includes("401")), []);
  },

  async "a server that has gone is said to have, in the conversation"(tab) {
    await tab.quire.stop();
    await tab.fill("textbox", "Message", "Hello?");
    await tab.click("button", "Send");
    await tab.until("a word on it", () => /The server does not answer\./.test(document.querySelector("[role=log] .note.trouble")?.textContent));
  },
};
