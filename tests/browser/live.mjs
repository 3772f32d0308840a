// What the page shows of an engine of its own as events come: the grid of experts and the background fill. With a stand-in for the engine.

import assert from "node:assert/strict";

import { ask, ended, load } from "./chats.mjs";
import { read } from "./experts.mjs";

const SIZE = { layers: 2, experts: 2 };
/** What the stand-in's stats say. */
const PLACES = [["gpu", "ram"], ["disk", "network"]];

/** Has the stand-in tell events. */
const tell = async (tab, ...events) => {
  await ask(tab, `tell ${JSON.stringify(events)}`);
  await ended(tab);
};
const says = (tab, text) => tab.until(`"${text}"`, (text) => document.getElementById("fill-words").textContent.includes(text), text, 10);
const isAt = async (tab, part) => assert.equal(await tab.evaluate(() => document.getElementById("fill-bar").value), part);
const shows = (tab, places) => tab.until(JSON.stringify(places), ({ size, places }) => JSON.stringify(window.read(size)) === places, { size: SIZE, places: JSON.stringify(places) }, 10);

export const tests = {
  async "the grid shows what stats() says"(tab) {
    await load(tab, "?model=partly.gguf");
    // The page's own policy lets no script in; the browser's tools may bring one.
    await tab.page.evaluate(`window.read = ${read}`);
    await tab.evaluate(() => document.querySelector("#experts summary").click());
    await tab.until("the grid", () => document.getElementById("grid-words").textContent);
    await shows(tab, PLACES);
    assert.match(await tab.evaluate(() => document.getElementById("grid-words").textContent), /^Of 4 experts 1 on the GPU, 1 in RAM, 1 on disk, 1 still on the network\./);
  },

  async "what was just used, and what has arrived, shows at once and before it is asked for"(tab) {
    await tab.evaluate((size) => {
      window.seen = new Set();
      const look = () => {
        window.read(size).forEach((experts, layer) => experts.forEach((place, expert) => window.seen.add(`${layer}.${expert} ${place}`)));
        window.looking = requestAnimationFrame(look);
      };
      look();
    }, SIZE);
    await tell(tab, { type: "use", layer: 0, experts: [1], missed: [] }, { type: "arrive", layer: 1, expert: 1, bytes: 1e6 });
    await tab.until("both", () => window.seen.has("0.1 used") && window.seen.has("1.1 gpu"), undefined, 10);
    // Stats have the last word, and what was used goes out.
    await shows(tab, PLACES);
    assert.deepEqual(await tab.evaluate(() => (cancelAnimationFrame(window.looking), [...window.seen].sort())), ["0.0 gpu", "0.1 ram", "0.1 used", "1.0 disk", "1.1 gpu", "1.1 network"]);
  },

  async "the fill is told as it goes on, paused and taken up again by its button"(tab) {
    await says(tab, "25 % of the model is here, 3.0 GB of 12.0 GB");
    await isAt(tab, 0.25);
    await tab.click("button", "Pause the download");
    await says(tab, "3.0 GB of 12.0 GB · paused");
    await tab.click("button", "Go on with the download");
    await tab.until("it to go on", () => !document.getElementById("fill-words").textContent.includes("paused"));
    assert.equal(await tab.count("button", "Pause the download"), 1);
    await tell(tab, { type: "fill", state: "running", loaded: 6e9, total: 12e9, verified: false });
    await says(tab, "50 % of the model is here, 6.0 GB of 12.0 GB");
    await isAt(tab, 0.5);
  },

  async "and once all is here there is nothing to pause"(tab) {
    await tell(tab, { type: "fill", state: "done", loaded: 12e9, total: 12e9, verified: false });
    await says(tab, "All of the model is here, 12.0 GB");
    assert.deepEqual(await tab.evaluate(() => ["fill", "fill-bar"].map((id) => document.getElementById(id).checkVisibility())), [false, false]);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
