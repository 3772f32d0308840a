// The page as a person meets it, by roles and names.

import assert from "node:assert/strict";
import { join } from "node:path";

/** What the alert says, once there is one. */
const alert = (tab) =>
  tab.until("an alert", () => {
    const shown = document.querySelector("[role=alert]");
    return !shown.hidden && shown.textContent;
  });

const ask = async (tab, text) => {
  await tab.fill("textbox", "Message", text);
  await tab.click("button", "Send");
};

/** Text of the answers so far, each without its reasoning. */
const answers = (tab) =>
  tab.evaluate(() => [...document.querySelectorAll("[role=log] .answer")].map((answer) => answer.textContent));
const begun = (tab, n) =>
  tab.until(`answer ${n} to begin`, (n) => document.querySelectorAll("[role=log] .answer")[n - 1]?.textContent.length > 0, n, 600);
const ended = (tab) => tab.until("the answer to end", () => document.getElementById("stop").hidden, undefined, 600);

/** How the last answer ended, in words; empty if it simply ended. */
const note = (tab) => tab.evaluate(() => [...document.querySelectorAll("[role=log] .note")].at(-1).textContent);

export const withoutWebGpu = {
  async "the page says in words what is missing"(tab, { url }) {
    await tab.goto(url);
    const words = await alert(tab);
    assert.match(words, /cannot run the model/);
    assert.match(words, /WebGPU/);
    assert.match(words, /Use a current|hardware acceleration/);
  },
};

export const wrongAddress = {
  async "a model that is not there is named in words"(tab, { url }) {
    await tab.goto(`${url}?model=models/no-such-model.gguf`);
    const words = await alert(tab);
    assert.match(words, /no-such-model\.gguf/);
    assert.match(words, /404/);
  },

  async "a page instead of a model is told apart"(tab, { url }) {
    await tab.goto(`${url}?model=index.html`);
    assert.match(await alert(tab), /index\.html/);
  },
};

export const conversation = {
  async "the controls have roles and names"(tab, { url }) {
    await tab.goto(`${url}?temperature=0`);
    assert.equal(await tab.count("textbox", "Message"), 1);
    assert.equal(await tab.count("button", "Send"), 1);
    assert.equal(await tab.evaluate(() => document.querySelector("[role=log]").getAttribute("aria-label")), "Conversation");
  },

  async "the model loads and the adapter is shown"(tab) {
    const adapter = await tab.until("the adapter", () => document.getElementById("adapter").textContent, undefined, 300);
    assert.match(adapter, /swiftshader|llvmpipe|not named/i);
    assert.equal(await tab.evaluate(() => document.getElementById("loading").hidden), true);
    return adapter;
  },

  async "an answer is stopped in its middle"(tab) {
    await ask(tab, "Tell me a long story about a dog.");
    await begun(tab, 1);
    await tab.click("button", "Stop");
    await ended(tab);
    assert.equal(await note(tab), "Stopped.");
  },

  // At once, while the engine may still be finishing what it was stopped at.
  async "asked again, the capital of France streams in and is Paris"(tab, { browser, screenshots }) {
    await ask(tab, "What is the capital of France?");
    await begun(tab, 2);
    // By the page itself: a picture takes longer than the answer may.
    await tab.evaluate(() => {
      window.lengths = new Set();
      const note = () => window.lengths.add([...document.querySelectorAll(".answer")].at(-1).textContent.length);
      new MutationObserver(note).observe(document.querySelector("[role=log]"), { childList: true, characterData: true, subtree: true });
    });
    let isPictured = false;
    while (await tab.evaluate(() => !document.getElementById("stop").hidden)) {
      if (screenshots && !isPictured && (await answers(tab))[1].includes("Paris")) {
        isPictured = true;
        await tab.screenshot(join(screenshots, `${browser}.png`));
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.match((await answers(tab))[1], /Paris/);
    assert.equal(await note(tab), "");
    assert.ok((await tab.evaluate(() => window.lengths.size)) > 2, "the answer came at once, not as a stream");
    return await tab.evaluate(() => document.getElementById("speed").textContent);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
