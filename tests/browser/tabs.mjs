// One conversation in two tabs, with a stand-in for the engine: what is said in one is shown in the other as it comes, and nothing is lost.

import assert from "node:assert/strict";

import { ask, ended, kept, load } from "./chats.mjs";
import { put } from "./documents.mjs";

/** Another tab of the same browser at what the first one shows. */
export async function second(tab) {
  const other = new tab.constructor(await (tab.page.context?.() ?? tab.page.browser()).newPage());
  other.standin = tab.standin;
  await other.goto(await tab.evaluate(() => location.href));
  await other.until("the model", () => document.getElementById("adapter").textContent);
  return other;
}

/** What is said in the log, turn by turn, and whether an answer is under way in it. */
const log = (tab) =>
  tab.evaluate(() => {
    const said = [...document.querySelectorAll("[role=log] article")].map((turn) => turn.querySelector(":scope > .answer, :scope > .text").textContent.trim());
    return { said, isBusy: document.getElementById("log").getAttribute("aria-busy") === "true" };
  });
const shows = (tab, text) => tab.until(`"${text}"`, (text) => document.querySelector("[role=log]").textContent.includes(text), text, 15);
/** Waits for words of the last answer. */
const says = (tab, text) => tab.until(`"${text}" as an answer`, (text) => [...document.querySelectorAll(".answer")].at(-1)?.textContent.includes(text), text, 15);
const idle = (tab) => tab.until("rest", () => document.getElementById("log").getAttribute("aria-busy") === "false", undefined, 15);
const press = (tab, label) => tab.evaluate((label) => [...document.querySelectorAll("[role=log] button")].findLast((button) => (button.getAttribute("aria-label") ?? button.textContent) === label && button.checkVisibility()).click(), label);
const notice = (tab) => tab.evaluate(() => document.getElementById("notice").textContent);

/** Sends without a mouse, which one tab has at a time. */
const send = (tab, text) =>
  tab.evaluate((text) => {
    const field = document.getElementById("message");
    field.value = text;
    field.dispatchEvent(new Event("input"));
    document.getElementById("composer").requestSubmit();
  }, text);

/** In the page: what another tab does that removes a conversation, before it says so. */
const loseRows = (id) =>
  new Promise((resolve) => {
    indexedDB.open("quire-conversations").onsuccess = ({ target: { result: db } }) => {
      const removing = db.transaction(["heads", "turns"], "readwrite");
      removing.objectStore("heads").delete(id);
      removing.objectStore("turns").delete(IDBKeyRange.bound([id], [id, []]));
      removing.oncomplete = () => resolve(db.close());
    };
  });

export const tests = {
  async "a second tab shows an answer as it grows, and its end"(tab) {
    await load(tab);
    await ask(tab, "begin");
    await ended(tab);
    const other = (tab.other = await second(tab));
    await send(tab, `slowly ${"word ".repeat(10)}`);
    await says(other, "word word");
    const during = await log(other);
    assert.equal(during.said.length, 4);
    assert.equal(during.isBusy, true);
    assert.ok(during.said[3].length < "word ".repeat(10).length - 1, "it came whole");
    assert.ok(!(await other.evaluate(() => document.body.innerText)).includes("Interrupted."));
    await ended(tab);
    await idle(other);
    assert.deepEqual((await log(other)).said, (await log(tab)).said);
    assert.equal((await log(other)).said[3], "word ".repeat(10).trim());
  },

  async "what is asked meanwhile in the second tab is not put, nor lost"(tab) {
    const { other } = tab;
    await send(tab, "slowly a b c d e f g h");
    await says(other, "a b");
    await send(other, "too early");
    await other.until("words", () => document.getElementById("notice").textContent === "Another tab is answering in this conversation.");
    assert.equal(await other.evaluate(() => document.getElementById("message").value), "too early");
    await ended(tab);
    await idle(other);
    await other.evaluate(() => document.getElementById("composer").requestSubmit());
    await shows(other, "You said: too early");
    await idle(other);
    await shows(tab, "You said: too early");
    await idle(tab);
    assert.equal(await other.evaluate(() => document.getElementById("message").value), "");
  },

  async "of two tabs that ask at once one is answered, and the other keeps its question"(tab) {
    const { other } = tab;
    const before = (await kept(tab)).length;
    for (const each of [tab, other]) await each.evaluate(() => document.getElementById("notice").replaceChildren());
    await Promise.all([send(tab, "slowly left one"), send(other, "slowly right one")]);
    await says(tab, " one");
    await idle(tab);
    await idle(other);
    const fields = await Promise.all([tab, other].map((tab) => tab.evaluate(() => document.getElementById("message").value)));
    const notices = await Promise.all([notice(tab), notice(other)]);
    assert.deepEqual([...fields].map((field) => field === "").sort(), [false, true], fields.join("|"));
    assert.equal(notices.filter((text) => /Another tab/.test(text)).length, 1, notices.join("|"));
    assert.equal((await kept(tab)).length, before + 2);
    assert.deepEqual((await log(tab)).said, (await log(other)).said);
    for (const each of [tab, other]) await each.evaluate(() => (document.getElementById("message").value = ""));
  },

  async "a turn that is edited in one tab stays open while the other answers"(tab) {
    const { other } = tab;
    await press(other, "Edit");
    await other.evaluate(() => (document.querySelector(".editor textarea").value = "half a thought"));
    await send(tab, "slowly x y");
    await says(tab, "x y");
    await idle(tab);
    await idle(other);
    assert.equal(await other.evaluate(() => document.querySelector(".editor textarea").value), "half a thought");
    await press(other, "Cancel");
    await shows(other, "x y");
    assert.deepEqual((await log(other)).said, (await log(tab)).said);
  },

  async "an answer that is made again is shown in both tabs, and the version before is kept"(tab) {
    const { other } = tab;
    await press(other, "Regenerate");
    await tab.until("another version", () => [...document.querySelectorAll("[aria-label=Versions] span")].at(-1)?.textContent === "2 of 2", undefined, 15);
    await idle(tab);
    await idle(other);
    assert.deepEqual((await log(other)).said, (await log(tab)).said);
    await press(tab, "Previous version");
    assert.equal((await log(tab)).said.at(-1), "x y");
    await press(tab, "Next version");
  },

  async "an answer that is edited in one tab is shown in the other, and waits for what is under way"(tab) {
    const { other } = tab;
    const amend = (each, text) =>
      each.evaluate((text) => {
        const field = document.querySelector(".editor textarea");
        field.value = text;
        field.form.requestSubmit();
      }, text);
    await press(other, "Edit the answer");
    await amend(other, "in other words");
    await says(tab, "in other words");
    await idle(other);
    assert.equal(await tab.evaluate(() => [...document.querySelectorAll("[aria-label=Versions] span")].at(-1).textContent), "3 of 3");
    assert.deepEqual((await log(other)).said, (await log(tab)).said);
    await press(tab, "Edit the answer");
    await tab.evaluate(() => document.getElementById("notice").replaceChildren());
    await send(other, "slowly p q r");
    await tab.until("the other's answer", () => document.getElementById("log").getAttribute("aria-busy") === "true");
    await amend(tab, "too early");
    await tab.until("words", () => document.getElementById("notice").textContent === "Another tab is answering in this conversation.");
    await idle(tab);
    await idle(other);
    assert.equal(await tab.evaluate(() => document.querySelector(".editor textarea").value), "too early");
    await press(tab, "Cancel");
    await shows(tab, "p q r");
    assert.deepEqual((await log(other)).said, (await log(tab)).said);
  },

  async "an answer is stopped from either tab"(tab) {
    const { other } = tab;
    await send(tab, `slowly ${"on ".repeat(30)}`);
    await says(other, "on on");
    await other.evaluate(() => document.getElementById("stop").click());
    await idle(tab);
    await idle(other);
    for (const each of [tab, other]) {
      assert.match((await log(each)).said.at(-1), /^on on( on)*$/);
      await each.until("a word on it", () => [...document.querySelectorAll(".note")].at(-1).textContent === "Stopped." && document.getElementById("stop").hidden);
    }
    assert.ok((await log(tab)).said.at(-1).length < 80, "it went on");
  },

  async "a document that is given in one tab is there in the other"(tab) {
    const { other } = tab;
    const items = (n) => other.until(`${n} documents`, (n) => document.querySelectorAll("#attached li").length === n, n, 10);
    await put(tab, "zebras.txt", Buffer.from("Zebras."));
    await items(1);
    await tab.evaluate(() => document.querySelector("#attached button").click());
    await items(0);
  },

  async "a conversation that is removed in one tab ends the other's answer, and stays removed"(tab) {
    const { other } = tab;
    const names = () => [...document.querySelectorAll("#chats a")].map((link) => link.textContent);
    await tab.evaluate(() => document.getElementById("new-chat").click());
    await send(tab, `slowly gone ${"word ".repeat(30)}`);
    await says(tab, "gone word");
    await other.until("its name", () => [...document.querySelectorAll("#chats a")].some((link) => link.textContent.startsWith("slowly gone")));
    await other.evaluate(() => document.querySelector("#chats li .icon:last-of-type").click());
    await idle(tab);
    await kept(tab);
    for (const each of [tab, other]) assert.deepEqual((await each.evaluate(names)).filter((name) => name.startsWith("slowly gone")), []);
    await tab.evaluate(() => document.querySelector("#chats a").click());
    await shows(tab, "You said: begin");
  },

  async "what grows does not bring back a conversation of whose end nobody has heard yet"(tab) {
    await tab.evaluate(() => document.getElementById("new-chat").click());
    await send(tab, `slowly lost ${"word ".repeat(8)}`);
    await says(tab, "lost word");
    const [{ conversation }] = (await kept(tab)).filter(({ message }) => message.content?.startsWith("slowly lost"));
    await tab.evaluate(loseRows, conversation);
    await idle(tab);
    assert.deepEqual((await kept(tab)).filter((turn) => turn.conversation === conversation), []);
    await tab.evaluate(() => [...document.querySelectorAll("#chats a")].find((link) => link.textContent === "begin").click());
    await shows(tab, "You said: begin");
  },

  async "an answer whose tab is closed is interrupted in the other one, and goes on there"(tab) {
    const { other } = tab;
    await send(other, `slowly ${"tock ".repeat(30)}`);
    await says(tab, "tock tock");
    await other.page.close();
    await shows(tab, "Interrupted.");
    assert.equal((await log(tab)).isBusy, false);
    await press(tab, "Continue");
    await shows(tab, "and on after");
    await idle(tab);
    assert.match((await log(tab)).said.at(-1), /^tock tock.* and on after \d+ letters\.$/);
  },

  async "a tab that is opened in the middle of an answer goes on with it, and all turns are kept"(tab) {
    await send(tab, `slowly ${"tick ".repeat(14)}`);
    await says(tab, "tick tick tick");
    await kept(tab);
    const other = await second(tab);
    assert.equal((await log(other)).isBusy, true);
    await ended(tab);
    await idle(other);
    const { said } = await log(other);
    assert.equal(said.at(-1), "tick ".repeat(14).trim());
    assert.deepEqual(said, (await log(tab)).said);
    await kept(tab);
    await other.page.reload();
    await shows(other, said.at(-1));
    assert.deepEqual((await log(other)).said, said);
    await other.page.close();
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
