// The page around the conversations: its weight, its keyboard, what axe-core finds, and that it works without a network. With a
// stand-in for the engine.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { ask, ended, load } from "./chats.mjs";
import { findsAllScripts } from "./documents.mjs";

/** Bytes that may come before the page is there, not compressed. */
const FIRST_PAINT = 100_000;
const axe = await readFile(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");

/** What axe-core finds serious in the page as it is. */
export async function findings(tab) {
  // The page's own policy lets no script in; the browser's tools may bring one.
  await tab.page.evaluate(axe);
  return tab.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
  });
}

const markdown = "repeat # Title\n\n`code` and **bold**, [a link](https://example.com/).\n\n```python\ndef f(x): return 'x' # why\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |";
const focused = (tab) => tab.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent.trim());

/** Presses Tab, or another key, until what has the focus is called `name`; resolves to what was passed, that included. */
async function walk(tab, name, key = "Tab") {
  const passed = [];
  while (passed.at(-1) !== name) {
    assert.ok(passed.length < 60, `no ${name} among ${passed.join(", ")}`);
    await tab.page.keyboard.press(key);
    passed.push(await focused(tab));
  }
  return passed;
}

/** What comes before the page is there. */
async function weighFirstPaint(tab) {
  const sizes = [];
  const weigh = (response) => {
    const { pathname } = new URL(response.url());
    const isAsked = /^\/($|main|part-|chinese|style|frame|talk|foot|text|dialogs|icon\.svg)/.test(pathname);
    if (isAsked) sizes.push(response.body().then((body) => [pathname, body.length]));
  };
  tab.page.on("response", weigh);
  await tab.goto(tab.standin.url);
  await tab.until("the page", () => document.getElementById("adapter").textContent);
  tab.page.off("response", weigh);
  const all = [...new Map(await Promise.all(sizes))];
  const sum = all.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(sum > 20_000 && sum < FIRST_PAINT, JSON.stringify(all));
  return `${(sum / 1000).toFixed(1)} kB in ${all.length} files`;
}

export const tests = {
  async "what comes before the page is there weighs less than 100 KB, in Chinese too"(tab) {
    const english = await weighFirstPaint(tab);
    await tab.evaluate(() => localStorage.setItem("quire-settings", '{"language":"zh"}'));
    const chinese = await weighFirstPaint(tab);
    assert.equal(await tab.count("button", "新对话"), 1);
    await tab.evaluate(() => localStorage.removeItem("quire-settings"));
    await tab.goto(tab.standin.url);
    return `${english}; in Chinese ${chinese}`;
  },

  async "axe-core finds nothing serious in the page, its dialogs, light and dark"(tab) {
    assert.deepEqual(await findings(tab), []);
    await ask(tab, markdown);
    await ended(tab);
    await ask(tab, "think a little");
    await ended(tab);
    await tab.until("colours", () => document.querySelector(".hljs-keyword"));
    await tab.evaluate(() => (document.querySelector("#experts").open = true));
    for (const colorScheme of ["light", "dark"]) {
      await tab.page.emulateMedia({ colorScheme });
      assert.deepEqual(await findings(tab), [], colorScheme);
      for (const dialog of ["Settings", "Storage", "Export and import"]) {
        await tab.click("button", dialog);
        assert.deepEqual(await findings(tab), [], `${dialog}, ${colorScheme}`);
        await tab.page.keyboard.press("Escape");
      }
      for (const turn of ["Edit", "Edit the answer"]) {
        await tab.page.getByRole("button", { name: turn, exact: true }).last().click();
        assert.deepEqual(await findings(tab), [], `${turn}, ${colorScheme}`);
        await tab.page.keyboard.press("Escape");
      }
    }
    await tab.evaluate(() => (document.querySelector("#experts").open = false));
  },

  async "a dialog closes at a click beside it, not where text is marked out of it"(tab) {
    const { mouse } = tab.page;
    const isOpen = () => tab.evaluate(() => document.getElementById("settings").open);
    await tab.click("button", "Settings");
    const { x, y } = await tab.page.locator("#settings h2").boundingBox();
    await mouse.move(x + 5, y + 5);
    await mouse.down();
    await mouse.move(5, 5);
    await mouse.up();
    assert.equal(await isOpen(), true);
    await mouse.click(5, 5);
    assert.equal(await isOpen(), false);
  },

  async "on a phone nothing is wider than the page, and the side comes over it"(tab) {
    await tab.page.setViewportSize({ width: 360, height: 640 });
    assert.equal(await tab.evaluate(() => document.documentElement.scrollWidth), 360);
    await tab.until("the side to go", () => document.getElementById("side").inert);
    assert.equal(await tab.count("button", "New chat"), 0);
    await tab.click("button", "Conversations");
    assert.equal(await focused(tab), "New chat");
    assert.deepEqual(await findings(tab), []);
    await tab.page.keyboard.press("Escape");
    assert.equal(await focused(tab), "Conversations");
    await tab.page.setViewportSize({ width: 1200, height: 720 });
  },

  async "Escape closes what lies over the page before it stops an answer: a dialog, then the side"(tab) {
    const { keyboard } = tab.page;
    const state = () =>
      tab.evaluate(() => ({
        dialog: document.querySelector("dialog[open]") !== null,
        side: !document.getElementById("side").inert,
        answer: !document.getElementById("stop").hidden,
      }));
    await tab.page.setViewportSize({ width: 360, height: 640 });
    await tab.until("the side to go", () => document.getElementById("side").inert);
    await ask(tab, `slowly ${"word ".repeat(40)}`);
    await tab.until("words", () => [...document.querySelectorAll(".answer")].at(-1).textContent.startsWith("word"));
    await tab.click("button", "Conversations");
    await tab.click("button", "Settings");
    assert.deepEqual(await state(), { dialog: true, side: true, answer: true });
    await keyboard.press("Escape");
    assert.deepEqual(await state(), { dialog: false, side: true, answer: true });
    // Wherever the focus is by then.
    await tab.evaluate(() => document.activeElement.blur());
    await keyboard.press("Escape");
    assert.deepEqual(await state(), { dialog: false, side: false, answer: true });
    await keyboard.press("Escape");
    await ended(tab);
    assert.deepEqual(await state(), { dialog: false, side: false, answer: false });
    await tab.page.setViewportSize({ width: 1200, height: 720 });
  },

  async "by Tab the page is walked through as it is read, and by keys dialogs open and close, a model and a conversation are chosen"(tab) {
    const { keyboard } = tab.page;
    const dialog = () => tab.evaluate(() => document.querySelector("dialog[open]")?.id ?? "");
    await keyboard.press("Control+Shift+O");
    for (const text of ["walked", "other"]) {
      await keyboard.type(text);
      await keyboard.press("Enter");
      await tab.until("the answer", (text) => document.querySelector(".answer")?.textContent.trim() === `You said: ${text}`, text);
      await ended(tab);
      await keyboard.press("Control+Shift+O");
    }
    const model = await tab.evaluate(() => document.getElementById("choose").textContent.trim());
    const known = ["New chat", "other", "Rename other", "Delete other", "walked", "Settings", "Storage", "Export and import", "Conversations", model, "Attach documents", "Message"];
    const passed = await walk(tab, "Message");
    assert.deepEqual(passed.filter((name) => known.includes(name)), known);

    await walk(tab, "Settings");
    await keyboard.press("Enter");
    assert.deepEqual([await dialog(), await focused(tab)], ["settings", "Close"]);
    await keyboard.press("Tab");
    assert.equal(await tab.evaluate(() => document.activeElement.name), "system");
    await keyboard.press("Escape");
    assert.deepEqual([await dialog(), await focused(tab)], ["", "Settings"]);
    await walk(tab, "Storage");
    await keyboard.press("Enter");
    assert.deepEqual([await dialog(), await focused(tab)], ["storage", "Close"]);
    await keyboard.press("Enter");
    assert.deepEqual([await dialog(), await focused(tab)], ["", "Storage"]);

    await walk(tab, "Conversations");
    await keyboard.press("Enter");
    assert.deepEqual([await tab.count("button", "New chat"), await focused(tab)], [0, "Conversations"]);
    await keyboard.press("Enter");
    assert.deepEqual([await tab.count("button", "New chat"), await focused(tab)], [1, "Conversations"]);

    await walk(tab, model);
    await keyboard.press("Enter");
    assert.deepEqual([await dialog(), await focused(tab)], ["models", "Close"]);
    await keyboard.press("Escape");
    assert.deepEqual([await dialog(), await focused(tab)], ["", model]);
    await keyboard.press("Enter");
    await walk(tab, "Stand-inSays what it is told to");
    await keyboard.press("Enter");
    await tab.until("the model", () => document.activeElement.id === "message" && document.getElementById("adapter").textContent);
    assert.equal(await dialog(), "");

    await walk(tab, "walked");
    await keyboard.press("Enter");
    await tab.until("its turns", () => document.querySelector(".answer")?.textContent.trim() === "You said: walked");
    await walk(tab, "Rename walked");
    await keyboard.press("Enter");
    await keyboard.type("not kept");
    await keyboard.press("Escape");
    await tab.until("its name", () => document.activeElement.textContent === "walked");
    await walk(tab, "Rename walked");
    await keyboard.press("Enter");
    await keyboard.type("gone");
    await keyboard.press("Enter");
    await tab.until("its name", () => document.activeElement.textContent === "gone");
    await walk(tab, "Delete gone");
    await keyboard.press("Enter");
    await tab.until("its end", () => !document.getElementById("chats").textContent.includes("gone") && document.activeElement.id === "message");
  },

  async "the keyboard is enough"(tab) {
    const { keyboard } = tab.page;
    await keyboard.press("Control+Shift+O");
    assert.equal(await focused(tab), "Message");
    await keyboard.type("by hand");
    await keyboard.press("Enter");
    await tab.until("the answer", () => document.querySelector(".answer")?.textContent.trim() === "You said: by hand");
    await ended(tab);
    // Up from an empty field to what was said last.
    await keyboard.press("ArrowUp");
    assert.equal(await focused(tab), "Edit the message");
    await keyboard.type(" twice");
    await keyboard.press("Enter");
    await tab.until("the other answer", () => document.querySelector(".answer")?.textContent.trim() === "You said: by hand twice");
    await ended(tab);
    assert.equal(await focused(tab), "Message");
    // What is pressed keeps the focus when the turns are drawn anew, or what is beside it.
    await walk(tab, "Previous version", "Shift+Tab");
    await keyboard.press("Enter");
    assert.equal(await focused(tab), "Next version");
    await keyboard.press("Enter");
    assert.equal(await focused(tab), "Previous version");
    await walk(tab, "Regenerate");
    await keyboard.press("Enter");
    // Unless it has ended by now.
    assert.ok(["Stop", "Message"].includes(await focused(tab)));
    await ended(tab);
    assert.equal(await focused(tab), "Message");
    await keyboard.press("ArrowUp");
    await keyboard.press("Escape");
    assert.equal(await tab.count("textbox", "Edit the message"), 0);
    assert.equal(await focused(tab), "Edit");
    // An answer has lines, which Enter ends.
    await walk(tab, "Edit the answer");
    await keyboard.press("Enter");
    assert.equal(await focused(tab), "Answer");
    await keyboard.press("Control+End");
    for (const key of ["Enter", "Enter", "!", "Control+Enter"]) await keyboard.press(key);
    await tab.until("the edited answer", () => document.querySelectorAll(".answer p")[1]?.textContent === "!");
    await tab.until("what comes next", () => document.activeElement.id === "message");
    await walk(tab, "Previous version", "Shift+Tab");
    await keyboard.press("Enter");
    await walk(tab, "Edit the answer");
    await keyboard.press("Enter");
    await keyboard.type("not kept");
    await keyboard.press("Escape");
    assert.equal(await focused(tab), "Edit the answer");
    assert.equal(await tab.count("textbox", "Answer"), 0);
  },

  async "a new build is kept whole beside the one that is shown, and a reload brings it"(tab) {
    await tab.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    await tab.page.reload();
    const get = async (path) => (await fetch(new URL(path, tab.standin.url))).text();
    tab.standin.own["/sw.js"] = ["text/javascript", (await get("sw.js")).replace(/"[0-9a-f]{64}"/, '"next"')];
    tab.standin.own["/style.css"] = ["text/css", `${await get("style.css")} html { --build: next }`];
    const build = () => tab.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--build"));
    await tab.evaluate(async () => void (await (await navigator.serviceWorker.getRegistration()).update()));
    await tab.until("the new build", async () => (await navigator.serviceWorker.getRegistration()).waiting !== null);
    assert.equal(await tab.evaluate(async () => (await (await fetch("style.css")).text()).includes("--build")), false);
    assert.equal(await tab.evaluate(async () => (await caches.keys()).filter((name) => name.startsWith("quire-page")).length), 2);
    // The page that is reloaded reloads itself.
    await tab.page.reload({ waitUntil: "commit" });
    await tab.page.locator("#adapter:not(:empty)").waitFor({ timeout: 60_000 });
    assert.equal(await build(), "next");
    await tab.until("the other to go", async () => (await caches.keys()).filter((name) => name.startsWith("quire-page")).length === 1);
  },

  async "without a network the page comes again, and its conversations"(tab) {
    await tab.page.reload();
    await tab.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    await tab.page.context().setOffline(true);
    tab.standin.stop();
    await tab.page.reload();
    await tab.until("the turns", () => document.querySelector(".answer")?.textContent.trim() === "You said: by hand twice");
    await tab.until("the model", () => document.getElementById("adapter").textContent);
    await ask(tab, "repeat **still** there, $x$");
    await ended(tab);
    await tab.until("the answer", () => document.querySelector(".answer strong")?.textContent === "still" && document.querySelector(".answer .katex"));
    await findsAllScripts(tab);
  },

  async "nothing was asked of any other host"(tab) {
    assert.deepEqual([...tab.origins], [new URL(tab.standin.url).origin]);
  },
};
