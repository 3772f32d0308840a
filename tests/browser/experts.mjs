// What the page shows of the experts and of the background fill, with room for some of the experts on the GPU.

import assert from "node:assert/strict";
import { join } from "node:path";

/** Room for some of the experts of smollm2-moe on the GPU, and for as many as were used in memory. */
const budgets = "max_gpu_bytes=410e6&max_ram_bytes=1e9";

const stats = (tab) => tab.evaluate(() => window.engine.stats());
const words = (tab) => tab.evaluate(() => document.getElementById("fill-words").textContent);
const until = (tab, text) =>
  tab.until(`"${text}"`, (text) => document.getElementById("fill-words").textContent.includes(text), text, 120);
const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const load = async (tab, url) => {
  await tab.goto(`${url}?temperature=0&max_tokens=1&${budgets}`);
  await tab.until("the adapter", () => document.getElementById("adapter").textContent, undefined, 300);
};

const answer = async (tab, text) => {
  await tab.fill("textbox", "Message", text);
  await tab.click("button", "Send");
  await tab.until("an answer", () => document.querySelector("[role=log] .answer")?.textContent, undefined, 600);
  await tab.until("its end", () => document.getElementById("stop").hidden, undefined, 600);
};

/** In the page: where the grid says that experts are, by the colours of the legend. */
export function read({ layers, experts }) {
  const canvas = document.getElementById("grid");
  const context = canvas.getContext("2d");
  const names = new Map();
  for (const name of ["gpu", "ram", "disk", "network", "used"]) {
    const { backgroundColor } = getComputedStyle(document.querySelector(`.legend .${name}`), "::before");
    // As the canvas would have it.
    const one = new OffscreenCanvas(1, 1).getContext("2d");
    one.fillStyle = backgroundColor;
    one.fillRect(0, 0, 1, 1);
    names.set(one.getImageData(0, 0, 1, 1).data.join(), name);
  }
  const [width, height] = [canvas.width / layers, canvas.height / experts];
  return Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: experts }, (_, expert) => {
      const pixel = context.getImageData((layer + 0.4) * width, (expert + 0.4) * height, 1, 1).data.join();
      return names.get(pixel) ?? pixel;
    }),
  );
}

const gridIsRight = async (tab) => {
  // What was just used has gone out, and the page has asked again.
  await rest(1500);
  const { places } = await stats(tab);
  assert.deepEqual(await tab.evaluate(read, { layers: places.length, experts: places[0].length }), places);
  return places.flat();
};

export const tests = {
  async "before the first answer nothing is fetched that it does not need"(tab, { url }) {
    await load(tab, url);
    await until(tab, "more comes with the first answer");
    const { bytes_fetched, bytes_header, bytes_dense, fill, slots } = await stats(tab);
    assert.ok(bytes_fetched <= (bytes_header + bytes_dense) * 1.02, `${bytes_fetched} of ${bytes_header} + ${bytes_dense}`);
    assert.equal(fill.state, "waiting");
    assert.ok(fill.loaded < fill.total);
    return `${slots} slots, ${await words(tab)}`;
  },

  async "where the browser has no room for all of the model, that is said beforehand"(tab) {
    const look = () => tab.evaluate(() => document.querySelector("#experts summary").click());
    const room = (await stats(tab)).fill.loaded / 1e6 + 2;
    await tab.evaluate((quota) => (navigator.storage.estimate = async () => ({ usage: 0, quota })), 2e6);
    await look();
    await until(tab, ` · the browser has room for ${room.toFixed(room < 100 ? 1 : 0)} MB`);
    await tab.evaluate(() => delete navigator.storage.estimate);
    await look();
    await tab.until("room", () => !document.getElementById("fill-words").textContent.includes("room"));
  },

  async "a paused fill fetches nothing, also after an answer"(tab) {
    await tab.click("button", "Pause the download");
    await until(tab, "paused");
    await answer(tab, "What is the capital of France?");
    const first = await stats(tab);
    const needed = first.bytes_header + first.bytes_dense + first.experts_touched * first.bytes_per_expert;
    assert.ok(first.bytes_fetched <= needed * 1.02, `${first.bytes_fetched} of ${needed}`);
    await rest(1500);
    const later = await stats(tab);
    assert.deepEqual([later.bytes_fetched, later.fill.state], [first.bytes_fetched, "paused"]);
    assert.ok(later.fill.loaded < later.fill.total);
  },

  async "the grid shows what stats() says, and says it in words"(tab, { browser, screenshots }) {
    await tab.evaluate(() => document.querySelector("#experts summary").click());
    const places = await gridIsRight(tab);
    for (const place of ["gpu", "ram", "network"]) assert.ok(places.includes(place), place);
    const text = await tab.evaluate(() => document.getElementById("grid-words").textContent);
    const count = (place) => places.filter((p) => p === place).length;
    assert.ok(text.startsWith(`Of ${places.length} experts ${count("gpu")} on the GPU, ${count("ram")} in RAM, ${count("disk")} on disk,`), text);
    if (screenshots) await tab.screenshot(join(screenshots, `${browser}-experts.png`));
    return text;
  },

  async "what is held in memory lies outside wasm's"(tab) {
    const { bytes_held, bytes_wasm, bytes_per_expert, places } = await stats(tab);
    assert.ok(bytes_held >= places.flat().filter((place) => place === "ram").length * bytes_per_expert);
    assert.ok(bytes_wasm > 0 && bytes_wasm < bytes_held / 4, `${bytes_wasm} bytes of wasm memory`);
    return `${(bytes_held / 1e6).toFixed(1)} MB held, ${(bytes_wasm / 1e6).toFixed(1)} MB of wasm memory`;
  },

  async "the fill goes on to 100 % and no byte comes twice"(tab) {
    await tab.click("button", "Go on with the download");
    await until(tab, "All of the model is here");
    const { fill, bytes_fetched } = await stats(tab);
    assert.deepEqual([fill.state, fill.loaded], ["done", fill.total]);
    assert.ok(bytes_fetched <= fill.total, `${bytes_fetched} of ${fill.total}`);
    const places = await gridIsRight(tab);
    assert.ok(!places.includes("network"));
    assert.equal(await tab.count("button", "Pause the download"), 0);
  },

  async "the next visit knows the hottest experts and brings them to the GPU from disk"(tab, { url }) {
    const { heat } = await stats(tab);
    await load(tab, url);
    await until(tab, "All of the model is here");
    const now = await stats(tab);
    assert.deepEqual(now.heat, heat);
    assert.equal(now.bytes_fetched, 0);
    now.places.forEach((places, layer) => {
      const inOrder = places.map((_, expert) => expert).sort((a, b) => heat[layer][b] - heat[layer][a]);
      const coldest = heat[layer][inOrder[now.slots - 1]];
      assert.equal(places.filter((place) => place === "gpu").length, now.slots);
      places.forEach((place, expert) => assert.ok(place === "gpu" || heat[layer][expert] <= coldest, `layer ${layer}`));
    });
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
