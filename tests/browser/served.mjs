// The page that `quire serve` serves, whose engine is the server: with the model that speaks by a script, and without WebGPU.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { browsers } from "./browsers.mjs";
import { chatty, read } from "./engine.mjs";
import { findings } from "./shell.mjs";
import { callsAndReplies, define } from "./tools.mjs";

const SAID = "Hello, world! How are you?";
const KEY = "of-the-tests";

/** `quire serve` with a model: its address, and how to end it. */
async function serve(...args) {
  const server = spawn(process.env.QUIRE, ["serve", ...args, "--port", "0"], { stdio: ["ignore", "ignore", "pipe"] });
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
  return { url, stop };
}

/** A tab without WebGPU, and a server that asks for a key, `tab.quire`; `tab.ends` is done in the end. */
export async function openServed({ browser }) {
  const quire = await serve(process.env.PARROT, "--api-key", KEY);
  const { tab, close } = await browsers[browser].open({ webgpu: false });
  Object.assign(tab, { quire, ends: [quire.stop] });
  const end = async () => {
    for (const end of tab.ends) await end();
  };
  return { tab, close: () => close().finally(end) };
}

/** Goes to the page of a server without a key. */
const visit = async (tab, url) => {
  await tab.goto(url);
  await tab.until("the model", () => document.getElementById("model").textContent);
};

/** In the page: the next answer does not end by itself. */
function endless() {
  const real = window.fetch;
  window.fetch = (url, request) => {
    if (!request?.body) return real(url, request);
    window.fetch = real;
    const logit_bias = Object.fromEntries(Array.from({ length: 21 }, (_, n) => [275 + n, -100]));
    return real(url, { ...request, body: JSON.stringify({ ...JSON.parse(request.body), logit_bias }) });
  };
}

/** In the page: how many cells of the grid have the colour of `name` in the legend. */
function cells({ name, layers, experts }) {
  const canvas = document.getElementById("grid");
  const one = new OffscreenCanvas(1, 1).getContext("2d");
  one.fillStyle = getComputedStyle(document.querySelector(`.legend .${name}`), "::before").backgroundColor;
  one.fillRect(0, 0, 1, 1);
  const wanted = one.getImageData(0, 0, 1, 1).data.join();
  const [width, height] = [canvas.width / layers, canvas.height / experts];
  const pixel = (layer, expert) => canvas.getContext("2d").getImageData((layer + 0.4) * width, (expert + 0.4) * height, 1, 1).data.join();
  let n = 0;
  for (let cell = 0; cell < layers * experts; cell += 1) if (pixel(cell % layers, Math.floor(cell / layers)) === wanted) n += 1;
  return n;
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
    assert.deepEqual(await findings(tab), []);
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

  async "the server's model calls a tool, and says more once it has the result"(tab) {
    await tab.click("button", "New chat");
    await define(tab, { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } });
    await callsAndReplies(tab);
    await tab.evaluate(() => localStorage.removeItem("quire-settings"));
  },

  async "the key and the conversation are there at the next visit"(tab) {
    await tab.goto(tab.quire.url);
    await tab.until("the model", () => document.getElementById("model").textContent);
    await tab.until("the list", () => document.querySelector("#chats a, #chats button") !== null);
    assert.equal(await tab.evaluate(() => document.getElementById("trouble").hidden), true);
  },

  async "the key is forgotten when it is to be, and asked for again at once and at the next visit"(tab) {
    const kept = () => tab.evaluate(() => localStorage.getItem("quire-key"));
    assert.equal(await kept(), KEY);
    await tab.click("button", "Settings");
    await tab.click("button", "Forget the server's key");
    assert.equal(await title(tab), "This server asks for a key");
    assert.deepEqual(await tab.evaluate(() => [document.activeElement.id, document.getElementById("model").textContent, document.querySelector("dialog[open]")]), ["key", "", null]);
    assert.equal(await kept(), null);
    await tab.goto(tab.quire.url);
    assert.equal(await title(tab), "This server asks for a key");
    await open(tab);
    assert.equal(await kept(), KEY);
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

  async "Stop ends an answer in its middle, and the server is free at once"(tab) {
    const folder = await mkdtemp(join(tmpdir(), "quire-served-"));
    const file = join(folder, "nano.gguf");
    await writeFile(file, chatty(await read("nano/nano.gguf")));
    const nano = (tab.nano = await serve(file, "--gpu-memory", "7350000"));
    tab.ends.push(nano.stop, () => rm(folder, { recursive: true }));
    nano.stats = async () => (await fetch(`${nano.url}stats`)).json();
    await visit(tab, nano.url);
    const key = () => [localStorage.getItem("quire-key"), document.getElementById("forget-key").hidden];
    assert.deepEqual(await tab.evaluate(key), [null, true], "there is a key where none is asked for");
    await tab.evaluate(endless);
    await tab.fill("textbox", "Message", "the");
    await tab.click("button", "Send");
    await tab.until("some words", () => document.querySelector("[role=log] .answer")?.textContent.length > 20);
    assert.deepEqual((await nano.stats()).requests, { in_hand: 1, waiting: 0 });
    const begin = performance.now();
    await tab.click("button", "Stop");
    while ((await nano.stats()).requests.in_hand > 0) assert.ok(performance.now() < begin + 5000, "the server goes on");
    const took = performance.now() - begin;
    await tab.until("a word on it", () => document.querySelector("[role=log] .note").textContent === "Stopped." && document.getElementById("stop").hidden);
    const said = await last(tab, ".answer");
    // Steps that were under way may still end.
    for (let [tokens, before] = [0, -1]; tokens !== before; ) {
      assert.ok(performance.now() < begin + 10_000, "the model goes on");
      await new Promise((resolve) => setTimeout(resolve, 300));
      [tokens, before] = [(await nano.stats()).tokens, tokens];
    }
    assert.equal(await last(tab, ".answer"), said);
    assert.match(await (await fetch(`${nano.url}metrics`)).text(), /^quire_answers_broken_off_total 1$/m);
    return `after ${took.toFixed(0)} ms`;
  },

  async "the experts of the server's model are shown, those that are just used among them, and what answers cost"(tab, { browser, screenshots }) {
    const { nano } = tab;
    await tab.evaluate(() => document.querySelector("#experts summary").click());
    const { places } = await nano.stats();
    const all = places.flat();
    const size = { layers: places.length, experts: places[0].length };
    await tab.until("the grid", () => document.getElementById("grid-words").textContent);
    assert.ok(all.includes("disk") && all.includes("gpu"), all.join());
    await tab.evaluate(endless);
    await tab.fill("textbox", "Message", "the");
    await tab.click("button", "Send");
    await tab.until("an expert that is used", cells, { name: "used", ...size });
    if (screenshots) await tab.screenshot(join(screenshots, `${browser}-served-experts.png`));
    const during = await tab.evaluate(() => document.getElementById("numbers-of").innerText);
    assert.match(during, /Requests at the server\s+1, of which 0 wait/);
    await tab.click("button", "Stop");
    const begin = performance.now();
    while ((await tab.evaluate(cells, { name: "used", ...size })) > 0) assert.ok(performance.now() < begin + 5000, "what was used does not go out");

    await visit(tab, `${nano.url}?max_tokens=12`);
    await tab.evaluate(() => document.querySelector("#experts summary").click());
    await tab.evaluate(endless);
    await ask(tab, "the");
    const numbers = () => /Speed\s+[\d.]+ tok\/s\s+Prompt\s+\d+ tokens in [\d.]+ s[^]*Experts found\s+\d+ of \d+/.test(document.getElementById("numbers-of").innerText);
    await tab.until("what it cost", numbers, undefined, 10);
    assert.equal(await tab.count("button", "Pause the download"), 0);
  },

  async "by plain HTTP from another machine the page works too"(tab) {
    const { url, stop } = await serve(process.env.PARROT, "--host", "0.0.0.0");
    tab.ends.push(stop);
    const own = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "0.0.0.0";
    const before = tab.errors.length;
    await visit(tab, url.replace("0.0.0.0", own));
    assert.equal(await tab.evaluate(() => window.isSecureContext), false);
    await ask(tab, "Hello!");
    assert.equal((await last(tab, ".answer")).trim(), SAID);
    await tab.page.click(".assistant [aria-label=Copy]");
    await tab.until("the copy", () => document.querySelector(".assistant .done") !== null);
    await ask(tab, "And again?");
    assert.equal(await tab.evaluate(() => document.querySelectorAll("[role=log] .answer").length), 2);
    assert.deepEqual(tab.errors.slice(before), []);
  },
};
