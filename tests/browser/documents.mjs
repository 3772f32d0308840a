// Documents that a conversation answers from, with a stand-in for the engine.

import assert from "node:assert/strict";

import { ask, ended, load, written } from "./chats.mjs";

/** A PDF file of two pages, as small as it can be. */
function pdf(...texts) {
  const objects = ["<< /Type /Catalog /Pages 2 0 R >>", `<< /Type /Pages /Kids [${texts.map((_, n) => `${4 + 2 * n} 0 R`).join(" ")}] /Count ${texts.length} >>`];
  objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
  for (const [n, text] of texts.entries()) {
    const content = `BT /F1 12 Tf 20 100 Td (${text}) Tj ET`;
    objects.push(`<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Resources << /Font << /F1 3 0 R >> >> /Contents ${5 + 2 * n} 0 R >>`);
    objects.push(`<< /Length ${content.length} >>\nstream\n${content}\nendstream`);
  }
  return Buffer.from(`%PDF-1.4\n${objects.map((object, n) => `${n + 1} 0 obj\n${object}\nendobj\n`).join("")}trailer << /Root 1 0 R /Size ${objects.length + 1} >>\n%%EOF`);
}

const give = (tab, name, buffer, mimeType = "text/plain") => tab.page.locator("#documents").setInputFiles({ name, mimeType, buffer: Buffer.from(buffer) });
const given = (tab, n) => tab.until(`${n} documents`, (n) => document.querySelectorAll("#attached li").length === n, n);

export const tests = {
  async "text and PDF files are given to a conversation, and what is neither is refused in words"(tab) {
    await load(tab);
    const filler = Array.from({ length: 8 }, (_, n) => `Paragraph ${n} is about nothing. ${"Filler words. ".repeat(60)}`).join("\n\n");
    await give(tab, "notes.txt", `${filler}\n\nThe zebra was born in Nairobi.\n\n${filler}`);
    await given(tab, 1);
    await give(tab, "report.pdf", pdf("Nothing here", "The zebra weighs 300 kg"), "application/pdf");
    await given(tab, 2);
    await give(tab, "data.txt", Buffer.from([0, 1, 2]));
    await tab.until("words", () => document.getElementById("notice").textContent.includes("it is not text"));
    await give(tab, "broken.pdf", "no pdf at all", "application/pdf");
    await tab.until("words", () => /broken\.pdf could not be read/.test(document.getElementById("notice").textContent));
  },

  async "a question is put with the passages that fit it, and the answer's citations lead to them"(tab) {
    await ask(tab, "How much does the zebra weigh, and where was it born?");
    await ended(tab);
    // The stand-in says again what it was asked, passages and all.
    const said = await tab.evaluate(() => document.querySelector(".answer").textContent);
    assert.match(said, /notes\.txt:[^]*The zebra was born in Nairobi\.[^]*\[\d\] report\.pdf, page 2:\s*The zebra weighs 300 kg/);
    const sources = await tab.evaluate(() => [...document.querySelectorAll(".assistant .passages cite")].map((cite) => cite.textContent));
    assert.ok(sources.some((source) => /^\[\d\] report\.pdf, page 2$/.test(source)), sources.join());
    assert.equal(await tab.evaluate(() => document.querySelector(".user > .text").textContent), "How much does the zebra weigh, and where was it born?");
  },

  async "documents stay with their conversation, and go when they are let go"(tab) {
    await tab.click("button", "New chat");
    await given(tab, 0);
    await tab.page.goBack();
    await given(tab, 2);
    await tab.page.reload();
    await given(tab, 2);
    await tab.click("button", "Remove notes.txt");
    await written(tab);
    await tab.page.reload();
    await given(tab, 1);
  },

  async "a document goes to the conversation that it was given to, whichever is shown by then"(tab) {
    await tab.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(["Late."], "late.txt"));
      const input = document.getElementById("documents");
      input.files = data.files;
      input.dispatchEvent(new Event("change"));
      document.getElementById("new-chat").click();
    });
    const isKept = () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.open("quire-conversations");
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const count = request.result.transaction("documents").objectStore("documents").count();
          count.onsuccess = () => resolve(count.result === 2);
          request.result.close();
        };
      });
    await tab.until("it to be kept", isKept);
    await given(tab, 0);
    await tab.page.goBack();
    await given(tab, 2);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
