// What the page must show, each as a sentence. A test gets a fresh tab and the page's URL.

import assert from "node:assert/strict";

const ready = (tab) =>
  tab.until("the model to be loaded", () => document.getElementById("adapter").textContent !== "", undefined, 180);

const ask = async (tab, text) => {
  await tab.fill("textbox", "Message", text);
  await tab.click("button", "Send");
};

/** Text of the last answer, without its reasoning. */
const lastAnswer = () => [...document.querySelectorAll("[role=log] .answer")].at(-1)?.textContent ?? "";
const isAnswering = () => !document.getElementById("stop").hidden;

export const tests = [
  {
    name: "a page without WebGPU says so in words",
    webgpu: false,
    async run(tab, url) {
      await tab.goto(url);
      const words = await tab.until("an alert", () => {
        const alert = document.querySelector("[role=alert]");
        return !alert.hidden && alert.textContent;
      });
      assert.match(words, /cannot run the model/);
      assert.match(words, /WebGPU/);
      assert.match(words, /Use a current|hardware acceleration/);
    },
  },
  {
    name: "the controls have roles and names",
    async run(tab, url) {
      await tab.goto(url);
      assert.equal(await tab.count("textbox", "Message"), 1);
      assert.equal(await tab.count("button", "Send"), 1);
      assert.equal(await tab.evaluate(() => document.querySelector("[role=log]").getAttribute("aria-label")), "Conversation");
    },
  },
  {
    name: "a model that is not there is named in words",
    needsEngine: true,
    async run(tab, url) {
      await tab.goto(`${url}?model=models/no-such-model.gguf`);
      const words = await tab.until("an alert", () => {
        const alert = document.querySelector("[role=alert]");
        return !alert.hidden && alert.textContent;
      });
      assert.match(words, /no-such-model\.gguf/);
      assert.match(words, /404/);
    },
  },
  {
    name: "the page loads without a console error",
    needsEngine: true,
    async run(tab, url) {
      await tab.goto(url);
      await ready(tab);
      assert.deepEqual(tab.errors, []);
    },
  },
  {
    name: "the capital of France streams in and is Paris; an answer is stopped and another asked for",
    needsEngine: true,
    tooSlowIn: "Chromium",
    async run(tab, url) {
      await tab.goto(`${url}?temperature=0`);
      await ready(tab);
      await ask(tab, "What is the capital of France?");
      await tab.until("the answer to begin", isAnswering);
      const lengths = new Set();
      while (await tab.evaluate(isAnswering)) {
        lengths.add((await tab.evaluate(lastAnswer)).length);
        await new Promise((resolve) => setTimeout(resolve, 200));
        // One word is enough of an answer; the rest is what is stopped.
        if (lengths.size > 2 && /Paris/.test(await tab.evaluate(lastAnswer))) await tab.click("button", "Stop").catch(() => {});
      }
      assert.match(await tab.evaluate(lastAnswer), /Paris/);
      assert.ok(lengths.size > 2, "the answer came at once, not as a stream");

      await ask(tab, "Tell me a long story about a dog.");
      await tab.until("the story to begin", () => document.querySelectorAll("[role=log] .answer")[1]?.textContent.length > 0, undefined, 120);
      await tab.click("button", "Stop");
      await tab.until("the answer to end", () => document.getElementById("stop").hidden);
      await ask(tab, "Say hello.");
      await tab.until("the next answer", () => document.querySelectorAll("[role=log] .answer")[2]?.textContent.length > 0, undefined, 120);
      await tab.click("button", "Stop").catch(() => {});
      assert.deepEqual(tab.errors, []);
    },
  },
];
