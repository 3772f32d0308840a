// What a person sets, by roles and names, with a stand-in for the engine.

import assert from "node:assert/strict";

import { ask, ended, load } from "./chats.mjs";

const set = async (tab, name, value) => {
  await tab.fill("spinbutton", name, value);
  await tab.page.keyboard.press("Tab");
};
const select = (tab, name, label) => tab.page.getByRole("combobox", { name, exact: true }).selectOption({ label });
/** What the engine was asked for, as the stand-in tells it. */
const request = async (tab) => {
  await tab.click("button", "New chat");
  await ask(tab, "request");
  await ended(tab);
  return JSON.parse(await tab.until("the request", () => document.querySelector(".answer pre")?.textContent));
};
const adapter = (tab) => tab.evaluate(() => document.getElementById("adapter").textContent);

export const tests = {
  async "what is set goes with every request, and what is out of range does not"(tab) {
    await load(tab);
    await tab.click("button", "Settings");
    await tab.fill("textbox", "System prompt", "Be brief.");
    await set(tab, "Temperature", "0.5");
    await set(tab, "top_p", "3");
    await set(tab, "top_k", "40");
    await set(tab, "Longest answer, in tokens", "9");
    await select(tab, "Reasoning effort", "High");
    assert.match(await tab.evaluate(() => document.querySelector(".wrong").textContent), /from 0 to 1/);
    await tab.click("button", "Close");
    const { messages, ...body } = await request(tab);
    assert.deepEqual(messages[0], { role: "system", content: "Be brief." });
    const { temperature, top_p, top_k, max_tokens, reasoning_effort } = body;
    assert.deepEqual([temperature, top_p, top_k, max_tokens, reasoning_effort], [0.5, undefined, 40, 9, "high"]);
  },

  async "budgets and context hold from when the model is loaded again"(tab) {
    await tab.click("button", "Settings");
    await set(tab, "GPU memory, in GB", "4.5");
    await set(tab, "RAM for experts, in GB", "0");
    await set(tab, "Context, in tokens", "8192");
    const before = await adapter(tab);
    await tab.click("button", "Load the model again");
    await tab.until("the model", (before) => !["", before].includes(document.getElementById("adapter").textContent), before);
    const given = await adapter(tab);
    for (const part of ['"maxGpuBytes":4500000000', '"maxRamBytes":0', '"contextLength":8192']) assert.ok(given.includes(part), given);
  },

  async "all of it is kept, and the address has the last word"(tab) {
    await load(tab, "?temperature=0&max_gpu_bytes=2e9");
    assert.match(await adapter(tab), /"contextLength":8192.*"maxGpuBytes":2000000000|"maxGpuBytes":2000000000.*"contextLength":8192/);
    const { temperature, top_k } = await request(tab);
    assert.deepEqual([temperature, top_k], [0, 40]);
  },

  async "an answer that is cut says so and goes on"(tab) {
    await ask(tab, "repeat one two three four five six seven eight nine ten eleven");
    await ended(tab);
    assert.match(await tab.evaluate(() => [...document.querySelectorAll(".note")].at(-1).textContent), /was cut/);
    await tab.click("button", "Continue");
    await ended(tab);
    assert.match(await tab.evaluate(() => [...document.querySelectorAll(".answer")].at(-1).textContent), /nine.*and on after/s);
  },

  async "reasoning stands apart and folded, and calls of tools are shown"(tab) {
    await ask(tab, "think it over well");
    await ended(tab);
    const reasoning = () => [...document.querySelectorAll(".reasoning")].at(-1);
    assert.deepEqual(await tab.evaluate(`(${reasoning})().open`), false);
    assert.equal(await tab.evaluate(`(${reasoning})().querySelector(".text").textContent`), "it over well");
    await ask(tab, "call weather");
    await ended(tab);
    assert.match(await tab.evaluate(() => document.querySelector(".call").textContent), /Calls weather\{\s*"a": 1\s*\}/);
  },

  async "a file that is dropped is loaded"(tab) {
    await tab.evaluate(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["GGUF"], "dropped.gguf"));
      for (const type of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
      window.named = document.getElementById("model").textContent;
    });
    assert.equal(await tab.evaluate(() => window.named), "dropped.gguf");
    await tab.until("the model", () => document.getElementById("adapter").textContent);
  },

  async "the page speaks Chinese and comes in dark, at once and at the next visit"(tab) {
    await tab.click("button", "Settings");
    await select(tab, "Colours", "Dark");
    await select(tab, "Language", "简体中文");
    await tab.page.keyboard.press("Escape");
    await tab.page.getByRole("button", { name: "新对话", exact: true }).waitFor();
    assert.equal(await tab.count("button", "重新生成"), await tab.evaluate(() => document.querySelectorAll(".assistant").length));
    await load(tab);
    assert.equal(await tab.count("textbox", "消息"), 1);
    const { lang, ink } = await tab.evaluate(() => ({ lang: document.documentElement.lang, ink: getComputedStyle(document.documentElement).color }));
    assert.deepEqual([lang, ink], ["zh-Hans", "rgb(230, 232, 228)"]);
    const left = await tab.evaluate(() => document.body.innerText.match(/[A-Z][a-z]+ [a-z]+/g));
    assert.equal(left, null);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
