import assert from "node:assert/strict";
import { test } from "node:test";
import { grow } from "../page/answer.ts";
import { chinese } from "../page/chinese.ts";
import { choose, speak, t } from "../page/language.ts";
import { engineOf, parse, requestOf } from "../page/settings.ts";
import { titleOf, Tree } from "../page/tree.ts";
import type { Message } from "../src/index.ts";

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

test("the page speaks the browser's language or the one that is asked for", () => {
  assert.deepEqual([choose("", ["de", "zh-CN", "en"]), choose("", ["fr"]), choose("en", ["zh"])], ["zh", "en", "en"]);
  speak("zh");
  assert.equal(t("{n} of {all}", { n: 2, all: 3 }), "2 / 3");
  speak("en");
  assert.equal(t("{n} of {all}", { n: 2, all: 3 }), "2 of 3");
});

test("what is filled in stands in both languages", () => {
  const names = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();
  for (const [english, other] of Object.entries(chinese)) assert.deepEqual(names(other), names(english), english);
});
