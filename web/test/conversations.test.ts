import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { grow, words } from "../page/answer.ts";
import { chinese } from "../page/chinese.ts";
import { choose, speak, t } from "../page/language.ts";
import { ofPace, ofStats } from "../page/performance.ts";
import { engineOf, parse, requestOf } from "../page/settings.ts";
import { cited, cut, withPassages } from "../page/passages.ts";
import { best, tokenize } from "../page/search.ts";
import { titleOf, Tree } from "../page/tree.ts";
import { fromJson, toJson, toMarkdown } from "../page/transfer.ts";
import { type ErrorCode, type Message, QuireError, type Stats } from "../src/index.ts";

const user = (content: string): Message => ({ role: "user", content });
const answer = (content: string): Message => ({ role: "assistant", content });
const said = (tree: Tree) => tree.path.map(({ message }) => message.content);

test("a turn in the place of another begins a branch, and each branch is remembered", () => {
  const tree = Tree.begin();
  const first = tree.add(undefined, user("first"));
  tree.add(tree.add(first, answer("one")), user("more"));
  const two = tree.add(first, answer("two"));
  assert.deepEqual(said(tree), ["first", "two"]);
  tree.choose(tree.places(two)[0]!);
  assert.deepEqual(said(tree), ["first", "one", "more"]);
  tree.add(undefined, user("other"));
  assert.deepEqual(said(tree), ["other"]);
  const again = new Tree(tree.head, tree.turns.reverse());
  assert.deepEqual(said(again), ["other"]);
  again.choose(again.places(again.path[0]!)[0]!);
  assert.deepEqual(said(again), ["first", "one", "more"]);
  assert.deepEqual(again.messages(again.path[1]).map(({ content }) => content), ["first", "one"]);
});

test("turns that follow each other in a circle, or nothing, are not shown and do no harm", () => {
  const turn = (id: string, parent: string) => ({ conversation: "c", id, parent, made: 1, message: user(id) });
  const head = { id: "c", title: "", made: 1, changed: 1, chosen: { "": "gone" } };
  const tree = new Tree(head, [turn("a", ""), turn("b", "c"), turn("c", "b"), turn("d", "d"), turn("e", "nowhere"), turn("", "")]);
  assert.deepEqual(said(tree), ["a"]);
});

test("a conversation is named after its first line", () => {
  assert.equal(titleOf("  What is it?\nSay."), "What is it?");
  assert.equal([...titleOf("😀".repeat(100))].length, 80);
});

test("deltas make a message, calls of tools piece by piece", () => {
  const message = answer("");
  grow(message, { reasoning: "Hm" });
  grow(message, { reasoning: "m.", content: "Yes" });
  grow(message, { tool_calls: [{ index: 0, id: "1", type: "function", function: { name: "f", arguments: "{" } }] });
  assert.equal(grow(message, { tool_calls: [{ index: 0, function: { name: "", arguments: "}" } }] }), true);
  assert.equal(grow(message, {}), false);
  const call = { id: "1", type: "function", function: { name: "f", arguments: "{}" } };
  assert.deepEqual(message, { role: "assistant", content: "Yes", reasoning: "Hmm.", tool_calls: [call] });
});

test("settings that make no sense are as if they were absent", () => {
  const nothing = parse(null);
  for (const json of ["", "[", "3", "null", '{"temperature":"1","top_k":1.5,"top_p":2,"language":"xx","system":3}']) {
    assert.deepEqual(parse(json), nothing, json);
  }
  const { temperature, system, language } = parse('{"temperature":0,"system":"Be kind.","language":"zh"}');
  assert.deepEqual([temperature, system, language], [0, "Be kind.", "zh"]);
});

test("the address has the last word over the settings", () => {
  const settings = { ...parse(null), temperature: 0.7, top_k: 40, reasoning_effort: "high" as const, maxGpuBytes: 4e9 };
  assert.deepEqual(requestOf(settings, ""), { temperature: 0.7, top_k: 40, reasoning_effort: "high" });
  assert.deepEqual(requestOf(settings, "?temperature=0&max_tokens=5"), { temperature: 0, top_k: 40, max_tokens: 5, reasoning_effort: "high" });
  assert.deepEqual(engineOf(settings, "?max_ram_bytes=0&context_length=8192"), { contextLength: 8192, maxGpuBytes: 4e9, maxRamBytes: 0 });
});

test("the page speaks the browser's language or the one that is asked for", async () => {
  assert.deepEqual([choose("", ["de", "zh-CN", "en"]), choose("", ["fr"]), choose("en", ["zh"])], ["zh", "en", "en"]);
  await speak("zh");
  assert.equal(t("{n} of {all}", { n: 2, all: 3 }), "2 / 3");
  assert.equal(cut("b.pdf", ["one", "two"])[1]!.source, "b.pdf，第 2 页");
  assert.throws(() => fromJson("["), /文件不是 JSON/);
  await speak("en");
  assert.equal(t("{n} of {all}", { n: 2, all: 3 }), "2 of 3");
});

test("errors of every code are told in Chinese, with the engine's own words behind", async () => {
  const source = await readFile(new URL("../../web/src/errors.ts", import.meta.url), "utf8");
  const codes = [...source.matchAll(/^  \| "(\w+)"/gm)].map(([, code]) => code as ErrorCode);
  assert.equal(codes.length, 12);
  await speak("zh");
  const said = codes.map((code) => words(new QuireError(code, "it broke")));
  for (const [n, text] of said.entries()) assert.match(text, /^\p{Script=Han}.*[（：]it broke/u, codes[n]);
  assert.equal(new Set(said).size, codes.length);
  assert.match(words(new QuireError("no_webgpu", "WebGPU needs a secure page: open it over https or from localhost.")), /^WebGPU 需要安全的页面[^a-z]+https[^a-z]+localhost[^a-z]+$/);
  await speak("en");
  assert.equal(words(new QuireError("network", "it broke")), "it broke");
});

test("all that index.html says is in the table", async () => {
  const html = await readFile(new URL("../../web/page/index.html", import.meta.url), "utf8");
  const said = [...html.matchAll(/<[a-z0-9]+([^>]*\sdata-t(?:\s[^>]*)?)\/?>([^<]*)/g)].flatMap(([, attributes = "", text = ""]) => {
    const named = [...attributes.matchAll(/(?:aria-label|placeholder|title)="([^"]*)"/g)].map(([, value]) => value!);
    return [...named, text.trim()].filter(Boolean);
  });
  assert.ok(said.length > 60, `${said.length}`);
  assert.deepEqual(said.filter((text) => !(text in chinese)), []);
});

test("why a browser cannot run the engine is in the table", async () => {
  const source = await readFile(new URL("../../web/src/support.ts", import.meta.url), "utf8");
  const reasons = [...source.matchAll(/reason:\s*"([^"]+)"/g)].map(([, reason]) => reason!);
  assert.equal(reasons.length, 3);
  assert.deepEqual(reasons.filter((reason) => !(reason in chinese)), []);
});

test("what the catalogue says of models on the web is in the table", async () => {
  const { models } = JSON.parse(await readFile(new URL("../../web/page/catalogue.json", import.meta.url), "utf8")) as { models: { about: string; url?: string }[] };
  const said = models.filter(({ url }) => url).map(({ about }) => about);
  assert.ok(said.length > 1);
  assert.deepEqual(said.filter((text) => !(text in chinese)), []);
});

test("what is filled in stands in both languages", () => {
  const names = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();
  for (const [english, other] of Object.entries(chinese)) assert.deepEqual(names(other), names(english), english);
});

test("conversations come back from JSON as they went, with ids of their own", () => {
  const tree = Tree.begin();
  const first = tree.add(undefined, user("first"));
  tree.add(first, { ...answer("one"), reasoning: "Hm." }, { end: "length" });
  tree.add(first, answer("two"), { end: "stop" });
  tree.choose(tree.places(tree.path[1]!)[0]!);
  const passages = [{ source: "a.txt", text: "A" }];
  tree.documents.push({ conversation: tree.head.id, id: "d", name: "a.txt", passages });
  const [kept] = fromJson(toJson([tree]));
  const again = new Tree(kept!.head, kept!.turns, kept!.documents);
  const plain = (tree: Tree) => tree.path.map(({ message, end, made }) => ({ message, end, made }));
  assert.deepEqual(plain(again), plain(tree));
  assert.equal(again.places(again.path[1]!).length, 2);
  assert.equal(again.head.title, "first");
  assert.deepEqual(again.documents, [{ conversation: again.head.id, id: again.documents[0]?.id, name: "a.txt", passages }]);
  const ids = new Set(tree.turns.map(({ id }) => id));
  assert.ok(again.turns.every(({ id, conversation }) => !ids.has(id) && conversation === again.head.id));
});

test("of a file in which a turn is missing the rest comes back", () => {
  const turn = (id: string, parent: string) => ({ id, parent, made: 1, message: user(id) });
  const conversations = [{ turns: [turn("a", ""), turn("b", "lost"), turn("c", "b")] }, { turns: [turn("d", "")] }];
  const kept = fromJson(JSON.stringify({ format: "quire-conversations", conversations }));
  assert.deepEqual(kept.map(({ head, turns }) => said(new Tree(head, turns))), [["a"], ["d"]]);
});

test("a file that is none is refused in words, with the place", () => {
  const file = (turn: object) => JSON.stringify({ format: "quire-conversations", conversations: [{ turns: [turn] }] });
  const bad: [string, RegExp][] = [
    ["", /not JSON/],
    ["[]", /not an object/],
    ['{"format":"other"}', /says format "other"/],
    ['{"format":"quire-conversations"}', /conversations is not an array/],
    [file({ id: "a", parent: "", message: { role: "system", content: "" } }), /role is "system"/],
    [file({ id: "a", parent: "", message: { role: "user", content: 3 } }), /content is not text/],
    [file({ id: "a", parent: "", message: { role: "assistant", content: "", tool_calls: [{}] } }), /tool_calls\[0\]/],
  ];
  const documents = [{ name: "a", passages: [{ text: 1 }] }];
  bad.push([JSON.stringify({ format: "quire-conversations", conversations: [{ turns: [], documents }] }), /documents\[0\]\.passages/]);
  for (const [text, words] of bad) assert.throws(() => fromJson(text), words, text);
});

const speakers = { you: "You", answer: "Answer", result: "Result" };

test("Markdown has the path that is shown, reasoning as a quotation", () => {
  const tree = Tree.begin();
  tree.add(tree.add(undefined, user("Why?")), { ...answer("So."), reasoning: "Hm.\nWell." });
  assert.equal(toMarkdown("Why?", tree.path, speakers), "# Why?\n\n## You\n\nWhy?\n\n## Answer\n\n> Hm.\n> Well.\n\nSo.\n");
});

test("documents are cut at paragraphs, sentences and words, and no letter is lost", () => {
  const sentence = "This is a sentence of some words. ";
  const [one, two, ...more] = cut("a.txt", [`First.\r\n\r\nSecond.\n\n${sentence.repeat(50)}`]);
  assert.deepEqual([one!.source, one!.text.slice(0, 14)], ["a.txt", "First.\n\nSecond"]);
  assert.ok(two!.text.endsWith("words.") && more.every(({ text }) => text.length <= 1200));
  assert.deepEqual(cut("b.pdf", ["one", " ", "three"]).map(({ source }) => source), ["b.pdf, page 1", "b.pdf, page 3"]);
  const lump = "x".repeat(5000);
  assert.equal(cut("c", [lump]).map(({ text }) => text).join(""), lump);
});

test("passages are as long in tokens in any script: a letter of Chinese, Japanese or Korean is one", () => {
  const lengths = (text: string) => cut("a", [text]).map(({ text }) => [...text].length);
  for (const letter of ["量", "か", "말", "𠮷"]) {
    const text = letter.repeat(700);
    assert.deepEqual(lengths(text), [300, 300, 100], letter);
    assert.equal(cut("a", [text]).map(({ text }) => text).join(""), text);
  }
  assert.deepEqual(lengths("x".repeat(2800)), [1200, 1200, 400]);
  assert.deepEqual(lengths(`${"量".repeat(200)}\n\n${"x".repeat(398)}\n\n${"x".repeat(400)}`), [600, 400]);
  assert.deepEqual(lengths(`${"量子。".repeat(80)}${"纠".repeat(100)}`), [240, 100]);
});

test("the passages that fit a question are found, in Chinese too", () => {
  const texts = ["The cat sleeps.", "量子纠缠是一种现象。", "Bread is baked.", "Rain falls.", "Ships sail.", "A horse runs.", "Stones lie."];
  const document = { conversation: "c", id: "d", name: "n", passages: texts.map((text) => ({ source: "n", text })) };
  assert.deepEqual(best([document], "What does the horse do?").map(({ text }) => text).includes("A horse runs."), true);
  assert.deepEqual(best([document], "什么是量子纠缠？").map(({ text }) => text).includes(texts[1]!), true);
  assert.deepEqual(tokenize("Die 量子纠 7"), ["Die", "量子", "子纠", "7"]);
});

test("a question that no passage fits is put with the beginnings of the documents, in order", () => {
  const document = (name: string, n: number) => ({ conversation: "c", id: name, name, passages: Array.from({ length: n }, (_, at) => ({ source: name, text: `${name}${at}` })) });
  const put = (question: string) => best([document("a", 8), document("b", 1), document("c", 8)], question).map(({ text }) => text);
  assert.deepEqual(put("Summarise these documents"), ["a0", "a1", "b0", "c0", "c1"]);
  assert.deepEqual(put("What of c7?"), ["a0", "a1", "b0", "c0", "c7"]);
});

test("a question is put with its passages, and the answer's citations are read", () => {
  const passages = [{ source: "a.txt", text: "A" }, { source: "b.pdf, page 2", text: "B" }];
  const tree = Tree.begin();
  const asked = tree.add(undefined, user("Why?"), { passages });
  const [message] = tree.messages(asked);
  assert.match(message!.content!, /^\[1\] a\.txt:\nA\n\n\[2\] b\.pdf, page 2:\nB\n\n.*\n\nWhy\?$/s);
  assert.equal(asked.message.content, "Why?");
  const answered = tree.add(asked, answer("So [1]."));
  assert.deepEqual(tree.messages(answered)[0], message);
  const next = tree.add(answered, user("And?"), { passages: passages.slice(1) });
  assert.deepEqual(tree.messages(next).map(({ content }) => content), ["Why?", "So [1].", withPassages("And?", passages.slice(1))]);
  assert.equal(withPassages("Why?", []), "Why?");
  assert.deepEqual(cited("As in [2], 【1†L3-L5】 and [7] [2].", passages), [0, 1]);
  assert.deepEqual(fromJson(toJson([tree]))[0]!.turns[0]!.passages, passages);
});

test("performance is told in rows", () => {
  const pace = { tokensPerSecond: 3, promptTokens: 7, timings: { prefill_seconds: 0.5, prefill_tps: 14, decode_tps: 21.5 } };
  assert.deepEqual(ofPace(pace), [["Speed", "21.5 tok/s"], ["Prompt", "7 tokens in 0.5 s"]]);
  const stats = { hits: 3, misses: 1, tokens: 2, passes: 3, stall_seconds: 0.25, bytes_gpu: 4e9, bytes_network: 3e9, bytes_disk: 0, bytes_ram: 1e6 } as Stats;
  assert.deepEqual(ofStats(stats).map(([, value]) => value), ["1.50", "3 of 4", "0.3 s", "4.0 GB", "3.0 GB, 0 B, 1.0 MB"]);
});
