// Conversations, by roles and names, with a stand-in for the engine.

import assert from "node:assert/strict";

export const ask = async (tab, text) => {
  await tab.fill("textbox", "Message", text);
  await tab.click("button", "Send");
};
export const ended = (tab) => tab.until("the answer to end", () => document.getElementById("stop").hidden, undefined, 10);
export const load = async (tab, query = "") => {
  await tab.goto(tab.standin.url + query);
  await tab.until("the model", () => document.getElementById("adapter").textContent);
};
/** What is said in the log, turn by turn. */
const turns = (tab) =>
  tab.evaluate(() => [...document.querySelectorAll("[role=log] article")].map((turn) => turn.querySelector(":scope > .answer, :scope > .text").textContent.trim()));
const list = (tab) => tab.evaluate(() => [...document.querySelectorAll("#chats a")].map((link) => link.textContent));
const note = (tab) => tab.evaluate(() => [...document.querySelectorAll(".note")].at(-1).textContent);
export const reload = async (tab) => {
  await tab.goto(await tab.evaluate(() => location.href));
  // The same address but for a hash is no new page.
  await tab.page.reload();
  await tab.until("the model", () => document.getElementById("adapter").textContent);
};
/** All turns as they are kept, once the page has written what it is writing: a transaction waits for those that began before it. */
export const kept = (tab) =>
  tab.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.open("quire-conversations");
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const transaction = request.result.transaction(["heads", "turns", "documents"]);
          const all = transaction.objectStore("turns").getAll();
          transaction.oncomplete = () => {
            request.result.close();
            resolve(all.result);
          };
        };
      }),
  );
export const shows = (tab, text) => tab.until(`"${text}"`, (text) => document.querySelector("[role=log]").textContent.includes(text), text);
const says = async (tab, text) => {
  await ask(tab, text);
  await ended(tab);
};

const versions = (tab) => tab.evaluate(() => [...document.querySelectorAll("[role=group][aria-label=Versions] span")].map((group) => group.textContent));
const until = (tab, said) =>
  tab.until(said.join(" | "), (said) => [...document.querySelectorAll("[role=log] article")].map((turn) => turn.querySelector(":scope > .answer, :scope > .text").textContent.trim()).join() === said, said.join(), 10);
/** Puts `text` in the place of the turn that is `at` in the log. */
const edit = (tab, at, text) =>
  tab.evaluate(
    ({ at, text }) => {
      document.querySelectorAll("[role=log] article")[at].querySelector("[aria-label^=Edit]").click();
      const field = document.querySelector(".editor textarea");
      field.value = text;
      field.form.requestSubmit();
    },
    { at, text },
  );
const step = (tab, at, label) => tab.evaluate(({ at, label }) => document.querySelectorAll("[role=log] article")[at].querySelector(`[aria-label="${label}"]`).click(), { at, label });

const mainPath = {
  async "a page that is only looked at makes no database, for which others would wait if the browser froze it meanwhile"(tab) {
    await load(tab);
    const names = await tab.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name));
    assert.ok(!names.includes("quire-conversations"), String(names));
  },

  async "a question and its answer make a conversation, named after the question"(tab) {
    await load(tab);
    await says(tab, "How are you?");
    assert.deepEqual(await turns(tab), ["How are you?", "You said: How are you?"]);
    await tab.until("the list", () => document.querySelectorAll("#chats a").length === 1);
    assert.deepEqual(await list(tab), ["How are you?"]);
  },

  async "a reload in the middle of an answer loses no turn, and keeps what was said of it"(tab) {
    await ask(tab, `slowly ${"word ".repeat(40)}`);
    await tab.until("some words", () => document.querySelectorAll(".answer")[1]?.textContent.split(" ").length > 4);
    await reload(tab);
    await shows(tab, "Interrupted.");
    const said = await turns(tab);
    assert.equal(said.length, 4);
    assert.deepEqual(said.slice(0, 2), ["How are you?", "You said: How are you?"]);
    assert.match(said[3], /^word word/);
  },

  async "an answer that broke off goes on where it was"(tab) {
    await tab.click("button", "Continue");
    await ended(tab);
    assert.match((await turns(tab))[3], /^word word.* and on after \d+ letters\.$/);
    assert.equal(await note(tab), "");
  },

  async "a turn that is edited begins another branch, and the arrows lead back"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "first");
    await tab.click("button", "Edit");
    await tab.evaluate(() => (document.querySelector(".editor textarea").value = ""));
    await tab.fill("textbox", "Edit the message", "second");
    await tab.click("button", "Ask again");
    await tab.until("the other answer", () => document.querySelector(".answer")?.textContent.trim() === "You said: second");
    await ended(tab);
    assert.equal(await tab.evaluate(() => document.querySelector("[role=group][aria-label=Versions] span").textContent), "2 of 2");
    await tab.click("button", "Previous version");
    assert.deepEqual(await turns(tab), ["first", "You said: first"]);
    await kept(tab);
    await reload(tab);
    assert.deepEqual(await turns(tab), ["first", "You said: first"]);
  },
};

/** Each in a conversation of its own. */
const edits = {
  async "an answer is edited beside what was said, and goes on to the model as it is now"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "one");
    await tab.click("button", "Edit the answer");
    assert.equal(await tab.evaluate(() => document.querySelector(".editor textarea").value), "You said: one");
    await tab.click("button", "Save");
    assert.deepEqual(await versions(tab), [], "the same again is another version");
    await tab.click("button", "Edit the answer");
    await tab.evaluate(() => (document.querySelector(".editor textarea").value = ""));
    await tab.fill("textbox", "Answer", "You said: one\n\nand **more**");
    await tab.click("button", "Save");
    await tab.until("what was put there", () => document.querySelector(".answer strong")?.textContent === "more");
    assert.deepEqual(await versions(tab), ["2 of 2"]);
    await says(tab, "request");
    const { messages } = JSON.parse(await tab.until("the request", () => document.querySelector(".answer pre")?.textContent));
    assert.deepEqual([messages.length, messages[1].role], [3, "assistant"]);
    assert.match(messages[1].content, /and \*\*more\*\*$/);
    await kept(tab);
    await reload(tab);
    assert.equal((await turns(tab)).length, 4);
    await tab.click("button", "Previous version");
    assert.deepEqual(await turns(tab), ["one", "You said: one"]);
  },

  async "an answer that was stopped goes on from what it is edited to"(tab) {
    await tab.click("button", "New chat");
    await ask(tab, `slowly ${"word ".repeat(40)}`);
    await tab.until("some words", () => document.querySelector(".answer")?.textContent.length > 0);
    await tab.click("button", "Stop");
    await ended(tab);
    await edit(tab, 1, "Twelve words");
    await shows(tab, "Twelve words");
    await tab.click("button", "Continue");
    await shows(tab, "Twelve words and on after 12 letters.");
    await ended(tab);
  },

  async "a question is edited far up, and all that followed it is kept beside"(tab) {
    await tab.click("button", "New chat");
    for (const text of ["a", "b", "c"]) await says(tab, text);
    const before = ["a", "You said: a", "b", "You said: b", "c", "You said: c"];
    const after = ["a", "You said: a", "other", "You said: other"];
    await edit(tab, 2, "other");
    await until(tab, after);
    await ended(tab);
    await kept(tab);
    await reload(tab);
    await until(tab, after);
    assert.deepEqual(await versions(tab), ["2 of 2"]);
    await step(tab, 2, "Previous version");
    await until(tab, before);
    // Of an answer in the middle, too.
    await edit(tab, 1, "Who?");
    await until(tab, ["a", "Who?"]);
    await step(tab, 1, "Previous version");
    await until(tab, before);
    await kept(tab);
    await reload(tab);
    await until(tab, before);
    assert.deepEqual(await versions(tab), ["1 of 2", "1 of 2"]);
  },
};

export const inFirefox = { ...mainPath, ...edits };

export const tests = {
  ...mainPath,

  async "an answer is made again beside the other, and both are kept"(tab) {
    await tab.click("button", "Regenerate");
    await ended(tab);
    assert.equal(await tab.evaluate(() => document.querySelector(".assistant [role=group] span").textContent), "2 of 2");
    await says(tab, "more");
    assert.equal((await turns(tab)).length, 4);
    // The first answer has no more after it, the second has.
    await tab.evaluate(() => document.querySelector(".assistant [aria-label='Previous version']").click());
    assert.equal((await turns(tab)).length, 2);
    await tab.evaluate(() => document.querySelector(".assistant [aria-label='Next version']").click());
    assert.equal((await turns(tab)).length, 4);
  },

  async "an answer goes on while another conversation is shown"(tab) {
    await tab.click("button", "New chat");
    await ask(tab, "slowly one two three four");
    await shows(tab, "one");
    await tab.click("link", "first");
    await shows(tab, "You said: first");
    await tab.click("link", "slowly one two three four");
    await shows(tab, "one");
    await ended(tab);
    assert.equal((await turns(tab))[1], "one two three four");
  },

  async "Escape stops an answer"(tab) {
    await ask(tab, `slowly ${"word ".repeat(40)}`);
    await tab.until("words", () => document.querySelectorAll(".answer")[1]?.textContent.length > 0);
    await tab.page.keyboard.press("Escape");
    await ended(tab);
    assert.equal(await note(tab), "Stopped.");
  },

  async "an answer that failed in its middle goes on where it was, or from what it is edited to"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "break one two");
    assert.deepEqual([(await turns(tab))[1], await note(tab)], ["one two", "it broke"]);
    await tab.click("button", "Continue");
    await ended(tab);
    assert.deepEqual([(await turns(tab))[1], await note(tab)], ["one two and on after 7 letters.", ""]);
    await tab.click("button", "New chat");
    await says(tab, "break one two");
    await edit(tab, 1, "Twelve words");
    await shows(tab, "Twelve words");
    await tab.click("button", "Continue");
    await shows(tab, "Twelve words and on after 12 letters.");
    await ended(tab);
  },

  async "where the context is full the page says what to do, and an answer that cannot go on is none that failed"(tab) {
    const what = "Set a longer context in Settings and load the model again, or begin a new conversation.";
    await load(tab, "?context_length=9");
    await says(tab, "repeat one two three four five six");
    const cut = ["one two", `The answer was cut: the context is full. ${what}`];
    assert.deepEqual([(await turns(tab))[1], await note(tab)], cut);
    await tab.click("button", "Continue");
    await ended(tab);
    assert.deepEqual([(await turns(tab))[1], await note(tab)], cut);
    assert.equal(await tab.evaluate(() => document.querySelector(".note.trouble")), null);
    await says(tab, "more");
    assert.equal(await note(tab), `This does not fit into the context: the prompt has 10 tokens, the context holds 9. ${what}`);
    await load(tab, "?context_length=9&max_tokens=1");
    await says(tab, "repeat one two three");
    assert.equal(await note(tab), "The answer was cut: it reached the longest length allowed.");
    await load(tab);
  },

  async "a conversation is renamed, and deleted but for a change of mind"(tab) {
    await tab.click("button", "Rename first");
    await tab.fill("textbox", "Name of the conversation", "The first");
    await tab.page.keyboard.press("Enter");
    await tab.until("the name", () => document.querySelector("#chats").textContent.includes("The first"));
    const before = await list(tab);
    await tab.click("button", "Delete The first");
    await tab.until("its end", (n) => document.querySelectorAll("#chats a").length === n, before.length - 1);
    await tab.click("button", "Undo");
    await tab.until("its return", (n) => document.querySelectorAll("#chats a").length === n, before.length);
    await tab.click("link", "The first");
    await tab.until("its turns", () => document.querySelectorAll("[role=log] article").length === 4);
  },

  async "a turn that could not be kept is kept with the next one"(tab) {
    await tab.click("button", "New chat");
    await says(tab, "kept");
    await tab.evaluate(() => {
      const real = IDBDatabase.prototype.transaction;
      IDBDatabase.prototype.transaction = function (names, mode) {
        if (mode !== "readwrite") return real.call(this, names, mode);
        IDBDatabase.prototype.transaction = real;
        throw new DOMException("The disk is full.", "QuotaExceededError");
      };
    });
    await says(tab, "not kept");
    await tab.until("words", () => document.getElementById("notice").textContent === "This conversation is not kept: The disk is full.");
    await kept(tab);
    await reload(tab);
    assert.deepEqual(await turns(tab), ["kept", "You said: kept", "not kept", "You said: not kept"]);
  },

  async "a conversation that another tab deletes is whole again once more is said in it"(tab) {
    const other = await tab.page.context().newPage();
    await other.goto(tab.standin.url);
    await other.getByRole("button", { name: "Delete kept", exact: true }).click();
    await other.getByRole("button", { name: "Undo" }).waitFor();
    await other.close();
    await tab.until("its end", () => ![...document.querySelectorAll("#chats a")].some((link) => link.textContent === "kept"));
    await says(tab, "again");
    await kept(tab);
    await reload(tab);
    assert.deepEqual((await turns(tab)).filter((_, n) => n % 2 === 0), ["kept", "not kept", "again"]);
  },

  async "a name given while the answer goes on in the background stays"(tab) {
    await tab.click("button", "New chat");
    await ask(tab, "slowly a b c d");
    await tab.until("its name", () => document.querySelector("#chats [aria-current]")?.textContent === "slowly a b c d");
    await tab.click("button", "New chat");
    await tab.click("button", "Rename slowly a b c d");
    await tab.fill("textbox", "Name of the conversation", "Named meanwhile");
    await tab.page.keyboard.press("Enter");
    await ended(tab);
    await kept(tab);
    await reload(tab);
    await tab.until("the name", () => document.querySelector("#chats").textContent.includes("Named meanwhile"));
  },

  async "what is chosen last is shown, and Back leads past what is gone"(tab) {
    await says(tab, "stays");
    await tab.click("button", "New chat");
    await says(tab, "goes");
    await tab.evaluate(() => {
      [...document.querySelectorAll("#chats a")].find((link) => link.textContent === "stays").click();
      document.getElementById("new-chat").click();
    });
    await kept(tab);
    assert.deepEqual(await turns(tab), []);
    await tab.click("link", "stays");
    await shows(tab, "You said: stays");
    await tab.click("link", "goes");
    await shows(tab, "You said: goes");
    await tab.click("button", "Delete goes");
    await tab.until("its end", () => location.hash === "");
    await tab.page.goBack();
    await tab.until("nothing", () => location.hash === "");
    await tab.page.goBack();
    await shows(tab, "You said: stays");
  },

  async "a conversation that could not be deleted goes on"(tab) {
    await tab.evaluate(() => {
      const real = IDBObjectStore.prototype.delete;
      IDBObjectStore.prototype.delete = () => {
        IDBObjectStore.prototype.delete = real;
        throw new DOMException("The disk is broken.", "UnknownError");
      };
    });
    await tab.click("button", "Delete stays");
    await tab.until("words", () => document.getElementById("notice").textContent === "The disk is broken.");
    await says(tab, "more");
    await kept(tab);
    await reload(tab);
    assert.deepEqual(await turns(tab), ["stays", "You said: stays", "more", "You said: more"]);
  },

  ...edits,

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
