// What is larger than its place: wide formulas, code, tables and calls, many experts, small screens. With a stand-in for the engine.

import assert from "node:assert/strict";
import { join } from "node:path";

import { ended, load } from "./chats.mjs";
import { put } from "./documents.mjs";
import { findings } from "./shell.mjs";

const PHONES = [
  { width: 360, height: 640 },
  { width: 390, height: 844 },
  { width: 640, height: 360 },
];
const DESKTOP = { width: 1200, height: 720 };

const wide = [
  "$$" + Array.from({ length: 40 }, (_, n) => `x_{${n}}`).join(" \\cdot ") + "$$",
  "```js\n" + `const word = "${"long".repeat(60)}";` + "\n```",
  `| ${"column | ".repeat(30)}\n|${"---|".repeat(30)}\n| ${"1 | ".repeat(30)}`,
].join("\n\n");

/** In the page: what has more in it than it shows, by what it is called; unless it is the page itself, whose keys scroll it anyway. */
function scrolling() {
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const { overflowX, overflowY } = getComputedStyle(element);
    const isScrolled = (overflow, all, shown) => /auto|scroll/.test(overflow) && all > shown;
    if (!isScrolled(overflowX, element.scrollWidth, element.clientWidth) && !isScrolled(overflowY, element.scrollHeight, element.clientHeight)) continue;
    found.push({ name: element.ariaLabel ?? element.getAttribute("aria-label") ?? "", tabIndex: element.tabIndex, role: element.role ?? "", what: element.outerHTML.slice(0, 80) });
  }
  return found;
}

/** In the page: the grid is drawn in the frame after its place has changed. */
async function drawn() {
  for (let frame = 0; frame < 4; frame += 1) await new Promise(requestAnimationFrame);
}

/** The names of what scrolls, each of which the keyboard reaches. */
async function scrolled(tab) {
  const found = await tab.evaluate(scrolling);
  for (const { tabIndex, role, name, what } of found) assert.ok(tabIndex === 0 && role && name, what);
  return [...new Set(found.map(({ name }) => name))].sort();
}

/** What axe-core finds in the page as it is, in light and dark. */
async function inBoth(tab, what) {
  for (const colorScheme of ["dark", "light"]) {
    await tab.page.emulateMedia({ colorScheme });
    assert.deepEqual(await findings(tab), [], `${what}, ${colorScheme}`);
  }
}

/** Whatever the language. */
const say = async (tab, text) => {
  await tab.page.locator("#message").fill(text);
  await tab.page.locator("#send").click();
  await ended(tab);
};

const openExperts = async (tab) => {
  await tab.evaluate(() => (document.getElementById("experts").open = true));
  await tab.until("the experts", () => document.getElementById("grid-words").textContent && document.getElementById("grid").width > 0);
};

/** Says all that is wide, with documents beside it. */
async function sayAll(tab) {
  await put(tab, "notes.txt", Buffer.from("The zebra was born in Nairobi.\n\nIt weighs 300 kg."));
  await tab.until("the document", () => document.querySelectorAll("#attached li").length === 1);
  await say(tab, `repeat The zebra [1] and the rest.\n\n${wide}`);
  await say(tab, `pass ${"where".repeat(60)}`);
  await tab.until("formulas and colours", () => document.querySelector(".answer .katex-display") && document.querySelector(".hljs-keyword"));
  await tab.evaluate(() => document.querySelectorAll(".passages").forEach((passages) => (passages.open = true)));
}

export const tests = {
  async "formulas, code, tables and experts that have no room are scrolled by keyboard, and axe-core finds nothing serious in these and calls"(tab) {
    await load(tab, "?model=large.gguf");
    await sayAll(tab);
    await openExperts(tab);
    for (const size of [DESKTOP, PHONES[0]]) {
      await tab.page.setViewportSize(size);
      await tab.until("the side", (isThere) => document.getElementById("side").inert !== isThere, size === DESKTOP);
      await inBoth(tab, `${size.width} wide`);
      const all = ["Code", ...(size === DESKTOP ? [] : ["Experts and performance"]), "Formula", "Table"];
      assert.deepEqual(await scrolled(tab), all);
      assert.equal(await tab.evaluate(() => document.documentElement.scrollWidth), size.width);
    }
    await tab.page.setViewportSize(DESKTOP);
  },

  async "in Chinese, too"(tab) {
    await tab.evaluate(() => localStorage.setItem("quire-settings", '{"language":"zh"}'));
    await load(tab, "?model=large.gguf");
    await sayAll(tab);
    await openExperts(tab);
    await tab.page.setViewportSize(PHONES[0]);
    await inBoth(tab, "in Chinese");
    assert.deepEqual(await scrolled(tab), ["专家与性能", "代码", "公式", "表格"].sort());
    await tab.evaluate(() => localStorage.removeItem("quire-settings"));
  },

  async "nor while a model is loaded, nor where it cannot be"(tab) {
    await tab.goto(`${tab.standin.url}?model=endlessly.gguf`);
    await tab.until("the numbers", () => document.getElementById("numbers").textContent);
    await inBoth(tab, "loading");
    await tab.goto(`${tab.standin.url}?model=broken.gguf`);
    await tab.until("trouble", () => document.getElementById("trouble-words").textContent.includes("404"));
    await inBoth(tab, "trouble");
  },

  async "on a small screen the experts leave room for the conversation, and for what is said next"(tab, { screenshots }) {
    await load(tab, "?model=large.gguf");
    await say(tab, `repeat ${"A sentence that is said again. ".repeat(40)}`);
    await openExperts(tab);
    for (const size of [...PHONES, { width: 768, height: 1024 }, DESKTOP]) {
      await tab.page.setViewportSize(size);
      const at = `${size.width} × ${size.height}`;
      await tab.evaluate(drawn);
      const inView = await tab.evaluate(() =>
        ["#page > header", "#fill-words", "#message", "#send"].map((selector) => {
          const { top, bottom, left, right } = document.querySelector(selector).getBoundingClientRect();
          return top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
        }),
      );
      assert.deepEqual(inView, [true, true, true, true], at);
      const [head, foot, grid, panel] = await tab.evaluate(() => ["#page > header", "footer", "#grid", "#panel"].map((selector) => document.querySelector(selector).getBoundingClientRect().toJSON()));
      assert.ok(foot.top - head.bottom > Math.min(size.height / 6, 100), `${at}: ${foot.top - head.bottom} pixels are left`);
      // Its cells cannot be smaller than they can be seen.
      assert.ok(size.height < 400 || grid.height <= panel.height, `${at}: the grid has ${grid.height} of ${panel.height}`);
      // Its end is reached by keys.
      await tab.evaluate(() => document.getElementById("panel").focus());
      await tab.page.keyboard.press("End");
      await tab.until(`the numbers at ${at}`, () => document.querySelector("#numbers-of > :last-child").getBoundingClientRect().bottom <= document.getElementById("panel").getBoundingClientRect().bottom + 1, undefined, 10);
      await tab.page.keyboard.press("Home");
      await tab.until("its beginning", () => document.getElementById("panel").scrollTop === 0, undefined, 10);
      if (screenshots) await tab.screenshot(join(screenshots, `Chromium-room-${size.width}.png`));
    }
  },

  async "so do many documents"(tab) {
    await tab.page.setViewportSize(PHONES[0]);
    for (let n = 0; n < 12; n += 1) await put(tab, `a document of some length ${n}.txt`, Buffer.from(`Text ${n}.`));
    await tab.until("the documents", () => document.querySelectorAll("#attached li").length === 12);
    const [head, foot] = await tab.evaluate(() => ["#page > header", "footer"].map((selector) => document.querySelector(selector).getBoundingClientRect().toJSON()));
    await tab.evaluate(() => (document.getElementById("experts").open = false));
    assert.ok(foot.top - head.bottom > 0, "the documents cover the page");
  },

  async "dialogs fit a small screen, and what does not is scrolled to"(tab) {
    for (const size of PHONES) {
      await tab.page.setViewportSize(size);
      for (const dialog of ["settings", "storage", "transfer", "models"]) {
        const found = await tab.evaluate((id) => {
          const dialog = document.getElementById(id);
          dialog.showModal();
          const { left, right, top, bottom } = dialog.getBoundingClientRect();
          const controls = [...dialog.querySelectorAll("button, input, select, textarea, a")].filter((control) => control.checkVisibility());
          const last = controls.at(-1);
          last.focus();
          last.scrollIntoView();
          const end = (last.type === "file" ? last.parentElement : last).getBoundingClientRect();
          dialog.close();
          return { left, right: innerWidth - right, top, bottom: innerHeight - bottom, wide: dialog.scrollWidth - dialog.clientWidth, end: bottom - end.bottom };
        }, dialog);
        for (const [side, room] of Object.entries(found)) assert.ok(side === "wide" ? room <= 0 : room >= 0, `${dialog} at ${size.width}: ${side} ${room}`);
      }
    }
    await tab.page.setViewportSize(DESKTOP);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
