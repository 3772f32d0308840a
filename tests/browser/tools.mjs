// Functions that a person lets the model call, and what calls come to: by roles and names, with a stand-in for the engine, and with a
// model that calls by a script (tests/src/parrot.rs).

import assert from "node:assert/strict";
import { basename, dirname } from "node:path";

import { ask, ended, kept, load, reload, shows } from "./chats.mjs";
import { serveFolders } from "./folder.mjs";
import { saved } from "./keeping.mjs";
import { findings } from "./shell.mjs";
import { second } from "./tabs.mjs";

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { name: "get_weather", description: "Tells the weather", parameters };

/** Writes `text` into the field of the tools and leaves it; the settings stay open. */
async function write(tab, text) {
  await tab.click("button", "Settings");
  await tab.evaluate(() => (document.getElementById("tools").value = ""));
  await tab.fill("textbox", "Tools", text);
  await tab.page.keyboard.press("Tab");
}
const leave = (tab) => tab.page.keyboard.press("Escape");
/** What is said to be wrong with the tools. */
const wrong = (tab) =>
  tab.evaluate(() => {
    const field = document.getElementById("tools");
    return [field.value, field.getAttribute("aria-invalid"), document.getElementById(field.getAttribute("aria-describedby"))?.textContent];
  });

/** Defines tools, each as it is given. */
export async function define(tab, ...tools) {
  await write(tab, JSON.stringify(tools));
  assert.equal((await wrong(tab))[1], "false");
  await leave(tab);
}

const says = async (tab, text) => {
  await ask(tab, text);
  await ended(tab);
};
/** Answers the calls that wait, in their order. */
async function send(tab, ...results) {
  for (const [n, result] of results.entries()) {
    await tab.evaluate((n) => document.querySelectorAll(".results textarea")[n].focus(), n);
    await tab.page.keyboard.type(result);
  }
  await tab.click("button", results.length > 1 ? "Send results" : "Send result");
}
/** What the log has of each turn: who speaks, and what. */
const log = (tab) =>
  tab.evaluate(() => [...document.querySelectorAll("[role=log] article")].map((turn) => `${turn.getAttribute("aria-label")}: ${[...turn.querySelectorAll(":scope > .text, .call pre, .answer")].map(({ textContent }) => textContent.trim().replace(/\s+/g, " ")).filter(Boolean).join(" | ")}`));
const press = (tab, at, label) => tab.evaluate(({ at, label }) => document.querySelectorAll("[role=log] article")[at].querySelector(`[aria-label="${label}"]`).click(), { at, label });
const request = async (tab) => {
  await tab.click("button", "New chat");
  await says(tab, "request");
  return JSON.parse(await tab.until("the request", () => document.querySelector(".answer pre")?.textContent));
};

const mainPath = {
  async "what is no tool is said to be none as the field is left, in words, and what was written stays"(tab) {
    await load(tab);
    const text = '[{"name":"get_weather"},{"type":"function","function":{"description":"x"}}]';
    await write(tab, text);
    const said = [text, "true", "“name” of tool 2 is missing."];
    assert.deepEqual(await wrong(tab), said);
    await leave(tab);
    await tab.click("button", "Settings");
    assert.deepEqual(await wrong(tab), said);
    await leave(tab);
    assert.equal((await request(tab)).tools, undefined);
  },

  async "tools go with every request, in either form, and are there at the next visit"(tab) {
    await define(tab, weather, { type: "function", function: { name: "get_time" } });
    const wanted = [{ type: "function", function: weather }, { type: "function", function: { name: "get_time" } }];
    assert.deepEqual((await request(tab)).tools, wanted);
    await load(tab);
    assert.deepEqual((await request(tab)).tools, wanted);
  },

  async "a call waits for its result, after a reload too, and the answer follows from it"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "call");
    const called = ["You: call", 'Answer: { "a": 1 }'];
    assert.deepEqual(await log(tab), called);
    await kept(tab);
    await reload(tab);
    assert.deepEqual(await log(tab), called);
    assert.equal(await tab.count("group", "Calls get_weather"), 1);
    await tab.fill("textbox", "Result", "sunny");
    await tab.click("button", "Send result");
    await shows(tab, "get_weather is sunny");
    await ended(tab);
    const all = [...called, "Result: sunny", "Answer: get_weather is sunny"];
    assert.deepEqual(await log(tab), all);
    await kept(tab);
    await reload(tab);
    assert.deepEqual(await log(tab), all);
    assert.deepEqual([await tab.count("textbox", "Result"), await tab.count("button", "Send result")], [0, 0]);
  },

  async "a result that is edited is another branch, and its answer another one"(tab) {
    await press(tab, 2, "Edit the result");
    assert.equal(await tab.evaluate(() => document.activeElement.value), "sunny");
    await tab.evaluate(() => (document.activeElement.value = ""));
    await send(tab, "rainy");
    await shows(tab, "get_weather is rainy");
    await ended(tab);
    assert.equal((await log(tab)).at(-1), "Answer: get_weather is rainy");
    await press(tab, 2, "Previous version");
    assert.deepEqual((await log(tab)).slice(2), ["Result: sunny", "Answer: get_weather is sunny"]);
    await press(tab, 3, "Regenerate");
    await ended(tab);
    await tab.until("another answer", () => [...document.querySelectorAll("[role=group][aria-label=Versions] span")].map(({ textContent }) => textContent).join() === "1 of 2,2 of 2");
    assert.deepEqual((await log(tab)).slice(2), ["Result: sunny", "Answer: get_weather is sunny"]);
  },
};

const errors = {
  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};

export const inFirefox = { ...mainPath, ...errors };

export const tests = {
  ...mainPath,

  async "several calls are answered together, none of them left out"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "call get_weather get_time");
    await tab.evaluate(() => document.querySelectorAll(".results textarea")[0].focus());
    await tab.page.keyboard.type("sunny");
    await tab.click("button", "Send results");
    assert.equal(await tab.evaluate(() => document.activeElement === document.querySelectorAll(".results textarea")[1]), true);
    await tab.page.keyboard.type("noon");
    await tab.page.keyboard.press("Tab");
    assert.equal(await tab.evaluate(() => document.activeElement.textContent), "Send results");
    await tab.page.keyboard.press("Enter");
    await shows(tab, "get_weather is sunny, get_time is noon");
    await ended(tab);
    assert.deepEqual((await log(tab)).slice(1), ['Answer: { "a": 1 } | { "a": 1 }', "Result: sunny | noon", "Answer: get_weather is sunny, get_time is noon"]);
  },

  async "what was typed is there when the conversation is shown again"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "call");
    await tab.fill("textbox", "Result", "half a");
    const hash = await tab.evaluate(() => location.hash);
    await tab.click("button", "New chat");
    await says(tab, "other");
    await tab.evaluate((hash) => (location.hash = hash), hash);
    await shows(tab, "Calls get_weather");
    await tab.page.getByRole("textbox", { name: "Result" }).press("End");
    await tab.page.keyboard.type(" result");
    await tab.page.keyboard.press("Control+Enter");
    await shows(tab, "get_weather is half a result");
    await ended(tab);
    assert.equal(await tab.evaluate(() => document.activeElement.id), "message");
  },

  async "a call may be answered after more was said, and that stays beside"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "call");
    await says(tab, "never mind");
    await send(tab, "late");
    await shows(tab, "get_weather is late");
    await ended(tab);
    assert.deepEqual((await log(tab)).slice(2), ["Result: late", "Answer: get_weather is late"]);
    await press(tab, 2, "Previous version");
    assert.deepEqual((await log(tab)).slice(2), ["You: never mind", "Answer: You said: never mind"]);
    assert.equal(await tab.count("textbox", "Result"), 1);
    await press(tab, 2, "Next version");
    assert.equal(await tab.count("textbox", "Result"), 0);
  },

  async "a call waits in every tab, and is answered in all of them at once"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "call");
    await kept(tab);
    const other = await second(tab);
    assert.equal(await tab.count("textbox", "Result"), 1);
    await send(other, "sunny");
    await shows(tab, "get_weather is sunny");
    await tab.until("rest", () => document.getElementById("log").getAttribute("aria-busy") === "false");
    assert.deepEqual((await log(tab)).slice(2), ["Result: sunny", "Answer: get_weather is sunny"]);
    assert.deepEqual([await tab.count("textbox", "Result"), await tab.count("button", "Send result")], [0, 0]);
    await other.page.close();
    await kept(tab);
  },

  async "calls and results leave as Markdown and as JSON, and come back"(tab) {
    const [, text] = await saved(tab, "This conversation as Markdown");
    assert.equal(text, '# call\n\n## You\n\ncall\n\n## Answer\n\n```json\nget_weather({"a":1})\n```\n\n## Result\n\n```\nsunny\n```\n\n## Answer\n\nget_weather is sunny\n');
    const before = await log(tab);
    const [, json] = await saved(tab, "This conversation as JSON");
    await tab.evaluate(() => [...document.querySelectorAll("#chats [aria-label^='Delete ']")].forEach((button) => button.click()));
    await tab.until("no conversation", () => document.querySelectorAll("#chats a").length === 0);
    await tab.page.locator("#import").setInputFiles({ name: "chat.json", mimeType: "application/json", buffer: Buffer.from(json) });
    await tab.page.getByRole("link", { name: "call", exact: true }).click();
    await shows(tab, "get_weather is sunny");
    assert.deepEqual(await log(tab), before);
    await press(tab, 3, "Regenerate");
    await ended(tab);
    assert.deepEqual(await log(tab), before);
  },

  async "a call waits as any other page does: light and dark, on a phone, in Chinese, and for axe-core"(tab, { screenshots }) {
    const picture = async (name) => screenshots && tab.screenshot(`${screenshots}/tools-${name}.png`);
    await tab.click("button", "New chat");
    await says(tab, "call get_weather");
    await write(tab, '[{"name":"get weather"}]');
    await picture("wrong");
    for (const colorScheme of ["light", "dark"]) {
      await tab.page.emulateMedia({ colorScheme });
      assert.deepEqual(await findings(tab), [], `settings, ${colorScheme}`);
    }
    await leave(tab);
    await tab.page.setViewportSize({ width: 360, height: 640 });
    for (const colorScheme of ["dark", "light"]) {
      assert.equal(await tab.evaluate(() => document.documentElement.scrollWidth), 360);
      await tab.page.emulateMedia({ colorScheme });
      assert.deepEqual(await findings(tab), [], colorScheme);
      await picture(`pending-phone-${colorScheme}`);
    }
    await tab.page.setViewportSize({ width: 1200, height: 720 });
    await tab.click("button", "Settings");
    await picture("settings");
    await tab.page.getByRole("combobox", { name: "Language" }).selectOption({ label: "简体中文" });
    await tab.until("Chinese", () => document.querySelector("dialog h2").textContent !== "Choose a model");
    await leave(tab);
    await tab.click("button", "设置");
    assert.match((await wrong(tab))[2], /^第 1 个工具的“name”是 "get weather"：/);
    await picture("chinese-settings");
    await leave(tab);
    await picture("chinese");
    await tab.fill("textbox", "结果", "晴");
    await tab.click("button", "发送结果");
    await shows(tab, "get_weather is 晴");
    await ended(tab);
    await picture("chinese-answered");
  },

  ...errors,
};

/** The page itself, and a model in it. */
export const withModel = {
  async "a model in the page calls a tool, and says more once it has the result"(tab, { url, parrot }) {
    const server = await serveFolders({ models: dirname(parrot) });
    try {
      await tab.goto(`${url}?model=${server.url}models/${basename(parrot)}`);
      await tab.until("the model", () => document.getElementById("adapter").textContent, undefined, 300);
      await define(tab, weather);
      await callsAndReplies(tab);
      assert.deepEqual(tab.errors, []);
    } finally {
      await server.stop();
    }
  },
};

/** The scripted model is asked, calls, and says something else once it has the result. */
export async function callsAndReplies(tab) {
  const rests = () => tab.until("the answer to end", () => document.getElementById("stop").hidden, undefined, 120);
  await ask(tab, "What is it like in Paris?");
  await tab.until("a call", () => document.querySelector("[role=log] .results button") !== null, undefined, 120);
  await rests();
  assert.equal((await log(tab)).at(-1), 'Answer: { "city": "Paris" }');
  await tab.fill("textbox", "Result", "sunny");
  await tab.click("button", "Send result");
  await shows(tab, "Hello, world! How are you?");
  await rests();
  assert.deepEqual((await log(tab)).slice(-2), ["Result: sunny", "Answer: Hello, world! How are you?"]);
}
