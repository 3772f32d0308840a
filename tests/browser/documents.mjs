// Documents that a conversation answers from, with a stand-in for the engine.

import assert from "node:assert/strict";

import { ask, ended, kept, load } from "./chats.mjs";

/** A PDF file as small as it can be; a page is a font and what it shows, a string of PDF's in the font's codes. */
function pdf(...pages) {
  const objects = ["<< /Type /Catalog /Pages 2 0 R >>", `<< /Type /Pages /Kids [${pages.map((_, n) => `${3 + 2 * n} 0 R`).join(" ")}] /Count ${pages.length} >>`];
  for (const [n, [font, text]] of pages.entries()) {
    const content = `BT /F1 12 Tf 20 100 Td ${text} Tj ET`;
    objects.push(`<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Resources << /Font << /F1 ${font} >> >> /Contents ${4 + 2 * n} 0 R >>`);
    objects.push(`<< /Length ${content.length} >>\nstream\n${content}\nendstream`);
  }
  return Buffer.from(`%PDF-1.4\n${objects.map((object, n) => `${n + 1} 0 obj\n${object}\nendobj\n`).join("")}trailer << /Root 1 0 R /Size ${objects.length + 1} >>\n%%EOF`);
}

const latin = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>";

/** A font that is not in the file and says of its codes no more than by which of the known tables they are. */
function named(encoding, ordering) {
  const system = `/CIDSystemInfo << /Registry (Adobe) /Ordering (${ordering}) /Supplement 1 >>`;
  const descriptor = "/FontDescriptor << /Type /FontDescriptor /FontName /Song /Flags 4 >>";
  return `<< /Type /Font /Subtype /Type0 /BaseFont /Song /Encoding /${encoding} /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Song ${system} ${descriptor} >>] >>`;
}

/** By table: what is said, and its codes. */
const scripts = [
  ["UniGB-UCS2-H", "GB1", "斑马生于内罗毕", "65919a6c751f4e8e51857f576bd5"],
  ["GBK-EUC-H", "GB1", "斑马重三百公斤", "b0dfc2edd6d8c8fdb0d9b9abbdef"],
  ["ETen-B5-H", "CNS1", "斑馬重三百公斤", "b4b3b0a8adaba454a6caa4bda4e7"],
  ["90ms-RKSJ-H", "Japan1", "しまうまの体重は三百キロ", "82b582dc82a482dc82cc91cc8f6482cd8e4f9553834c838d"],
  ["KSCms-UHC-H", "Korea1", "얼룩말의 무게는 삼백 킬로그램이다", "bef3b7e8b8bbc0c720b9abb0d4b4c220bbefb9e920c5b3b7ceb1d7b7a5c0ccb4d9"],
];

/** A page for each script, among others that say nothing. */
const inScripts = () => pdf(...scripts.map(([encoding, ordering, , codes]) => [named(encoding, ordering), `<${codes}>`]), ...Array(6).fill([latin, "(Nothing here)"]));

/** Gives a file in any browser. */
export const put = (tab, name, buffer) =>
  tab.evaluate(
    ({ name, base64 }) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
      const input = document.getElementById("documents");
      input.files = data.files;
      input.dispatchEvent(new Event("change"));
    },
    { name, base64: buffer.toString("base64") },
  );

/** A PDF file in five scripts is given to a new conversation, and a question finds all of them. */
export async function findsAllScripts(tab) {
  await tab.click("button", "New chat");
  await put(tab, "zebra.pdf", inScripts());
  await given(tab, 1);
  await ask(tab, "斑马重吗，生于哪里？ 斑馬重嗎？ しまうまの体重は？ 얼룩말의 무게는?");
  await ended(tab);
  const said = await tab.evaluate(() => document.querySelector(".answer").textContent);
  for (const [n, [encoding, , text]] of scripts.entries()) assert.ok(said.includes(`zebra.pdf, page ${n + 1}:\n${text}`), `${encoding}: ${said}`);
}

const give = (tab, name, buffer, mimeType = "text/plain") => tab.page.locator("#documents").setInputFiles({ name, mimeType, buffer: Buffer.from(buffer) });
const given = (tab, n) => tab.until(`${n} documents`, (n) => document.querySelectorAll("#attached li").length === n, n);

export const tests = {
  async "text and PDF files are given to a conversation, and what is neither is refused in words"(tab) {
    await load(tab);
    const filler = Array.from({ length: 8 }, (_, n) => `Paragraph ${n} is about nothing. ${"Filler words. ".repeat(60)}`).join("\n\n");
    await give(tab, "notes.txt", `${filler}\n\nThe zebra was born in Nairobi.\n\n${filler}`);
    await given(tab, 1);
    await give(tab, "report.pdf", pdf([latin, "(Nothing here)"], [latin, "(The zebra weighs 300 kg)"]), "application/pdf");
    await given(tab, 2);
    await give(tab, "data.txt", Buffer.from([0, 1, 2]));
    await tab.until("words", () => document.getElementById("notice").textContent.includes("it is not text"));
    await give(tab, "broken.pdf", "no pdf at all", "application/pdf");
    await tab.until("words", () => /broken\.pdf could not be read/.test(document.getElementById("notice").textContent));
  },

  async "a question is put with the passages that fit it, and shown without them"(tab) {
    await ask(tab, "How much does the zebra weigh, and where was it born?");
    await ended(tab);
    // The stand-in says again what it was asked, passages and all.
    const said = await tab.evaluate(() => document.querySelector(".answer").textContent);
    assert.match(said, /notes\.txt:[^]*The zebra was born in Nairobi\.[^]*\[\d\] report\.pdf, page 2:\s*The zebra weighs 300 kg/);
    assert.equal(await tab.evaluate(() => document.querySelector(".user > .text").textContent), "How much does the zebra weigh, and where was it born?");
  },

  async "of the passages those that an answer cites are its sources, and only the last question is put with its own"(tab) {
    await ask(tab, "repeat What the zebra weighs stands in [2].");
    await ended(tab);
    const cites = (turn) => tab.evaluate((turn) => [...document.querySelectorAll(turn)[1].querySelectorAll(".passages cite")].map((cite) => cite.textContent), turn);
    const [, second, ...more] = await cites(".user");
    assert.ok(second.startsWith("[2] ") && more.length > 0, second);
    assert.deepEqual(await cites(".assistant"), [second]);
    await ask(tab, "request of the zebra");
    await ended(tab);
    const { messages } = JSON.parse(await tab.until("the request", () => document.querySelector(".answer pre")?.textContent));
    const asked = messages.filter(({ role }) => role === "user").map(({ content }) => content);
    assert.deepEqual(asked.slice(0, 2), ["How much does the zebra weigh, and where was it born?", "repeat What the zebra weighs stands in [2]."]);
    assert.match(asked[2], /^\[1\] [^]*\n\nrequest of the zebra$/);
    assert.deepEqual(await cites(".assistant"), [second]);
  },

  async "documents stay with their conversation, and go when they are let go"(tab) {
    await tab.click("button", "New chat");
    await given(tab, 0);
    await tab.page.goBack();
    await given(tab, 2);
    await tab.page.reload();
    await given(tab, 2);
    await tab.click("button", "Remove notes.txt");
    await kept(tab);
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

  async "files of any name are dropped, text of whatever encoding is read, and what is no text is said to be none"(tab) {
    await tab.click("button", "New chat");
    await tab.evaluate(() => {
      document.documentElement.lang = "zh";
      const dataTransfer = new DataTransfer();
      const add = (name, ...bytes) => dataTransfer.items.add(new File([Uint8Array.from(bytes)], name));
      add("README", 0xb0, 0xdf, 0xc2, 0xed); // GBK
      add("notes.log", 0xff, 0xfe, 0x91, 0x65, 0x6c, 0x9a); // UTF-16
      add("photo.png", 0x89, 0x50, 0x4e, 0x47, 0);
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    });
    await given(tab, 2);
    await tab.until("words", () => /photo\.png could not be read: it is not text/.test(document.getElementById("notice").textContent));
    await ask(tab, "which?");
    await ended(tab);
    assert.match(await tab.evaluate(() => document.querySelector(".answer").textContent), /README:\s*斑马\s*\[2\] notes\.log:\s*斑马/);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};

export const inAnyScript = {
  async "of PDF files whose fonts only name a table of their script's codes the text is found"(tab) {
    await load(tab);
    await findsAllScripts(tab);
    assert.deepEqual(tab.errors, []);
  },

  async "nothing was asked of any other host"(tab) {
    assert.deepEqual([...tab.origins], [new URL(tab.standin.url).origin]);
  },
};
