// Conversations that leave and come back, what is kept of models, and what answers cost, with a stand-in for the engine.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { ask, ended, load } from "./chats.mjs";

/** Presses a button that saves a file; resolves to its name and text. */
export async function saved(tab, name) {
  await tab.click("button", "Export and import");
  const [download] = await Promise.all([tab.page.waitForEvent("download"), tab.click("button", name)]);
  return [download.suggestedFilename(), await readFile(await download.path(), "utf8")];
}

export const tests = {
  async "a conversation leaves as Markdown and as JSON"(tab) {
    await load(tab);
    await ask(tab, "think that over");
    await ended(tab);
    assert.deepEqual(await saved(tab, "This conversation as Markdown"), ["think-that-over.md", "# think that over\n\n## You\n\nthink that over\n\n## Answer\n\n> that over\n\nThought.\n"]);
    const [name, json] = await saved(tab, "This conversation as JSON");
    assert.equal(name, "think-that-over.json");
    tab.json = json;
  },

  async "it comes back beside what is here, by picker and by drop"(tab) {
    const file = { name: "chat.json", mimeType: "application/json", buffer: Buffer.from(tab.json) };
    await tab.page.locator("#import").setInputFiles(file);
    await tab.until("both", () => document.querySelectorAll("#chats a").length === 2);
    await tab.evaluate((json) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([json], "chat.json"));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }, tab.json);
    await tab.until("all three", () => document.querySelectorAll("#chats a").length === 3);
    await tab.page.locator("#import").setInputFiles({ ...file, buffer: Buffer.from("{") });
    await tab.until("words", () => document.getElementById("notice").textContent.includes("not JSON"));
  },

  async "all conversations leave in one file, which holds what each of theirs does"(tab) {
    const [name, json] = await saved(tab, "All conversations as JSON");
    assert.equal(name, "quire.json");
    const { format, version, conversations } = JSON.parse(json);
    assert.deepEqual([format, version, conversations.length], ["quire-conversations", 1, 3]);
    // Turns stand in any order: each names the one that it follows.
    const said = ({ title, turns }) => [title, turns.map(({ message }) => JSON.stringify(message)).sort()];
    const [one] = JSON.parse(tab.json).conversations;
    for (const conversation of conversations) assert.deepEqual(said(conversation), said(one));
    await tab.page.locator("#import").setInputFiles({ name: "quire.json", mimeType: "application/json", buffer: Buffer.from(json) });
    await tab.until("twice as many", () => document.querySelectorAll("#chats a").length === 6);
  },

  async "what is kept of models is told, and removed at the second press"(tab) {
    await tab.click("button", "Storage");
    await tab.until("the models", () => document.querySelectorAll("#kept li").length === 2);
    const words = () => document.getElementById("storage").innerText;
    assert.match(await tab.evaluate(words), /first\.gguf\s+3\.0 GB of 12\.0 GB · models\.test[^]*3\.1 GB of 60\.0 GB/);
    await tab.page.getByRole("button", { name: "Remove" }).first().click();
    await tab.click("button", "Remove 3.0 GB?");
    await tab.until("one less", () => document.querySelectorAll("#kept li").length === 1);
    await tab.click("button", "Close");
  },

  async "what answers cost is told in numbers"(tab) {
    await tab.evaluate(() => document.querySelector("#experts summary").click());
    const numbers = await tab.until("the numbers", () => document.querySelectorAll("#numbers-of dt").length > 4 && document.getElementById("numbers-of").innerText);
    assert.match(numbers, /Speed\s+21\.5 tok\/s\s+Prompt\s+7 tokens in 0\.5 s\s+Passes a token\s+1\.50\s+Experts found\s+30 of 40/);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
