/** Functions that a model may call: as a person writes them, and what became of calls in a conversation. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { speak } from "../page/language.ts";
import { parse, requestOf } from "../page/settings.ts";
import { toolsOf, wrongIn } from "../page/tools.ts";
import { fromJson, toJson, toMarkdown } from "../page/transfer.ts";
import { Tree, type Turn } from "../page/tree.ts";
import type { Message, ToolCall } from "../src/index.ts";

const weather = { name: "get_weather", description: "Tells the weather", parameters: { type: "object", properties: { city: { type: "string" } } } };
const call = (id: string, name = "get_weather", given = '{"city":"Paris"}'): ToolCall => ({ id, type: "function", function: { name, arguments: given } });
const calls = (...tool_calls: ToolCall[]): Message => ({ role: "assistant", content: null, tool_calls });
const given: Message = { role: "tool", content: null };

test("a tool is written as OpenAI has it, flat, or as the function alone", () => {
  const wanted = [{ type: "function", function: weather }];
  for (const tool of [wanted[0], { type: "function", ...weather }, { function: weather }, weather]) {
    assert.deepEqual(toolsOf(JSON.stringify([tool])), wanted, JSON.stringify(tool));
  }
  assert.deepEqual(toolsOf('[{"name":"f","strict":true,"parameters":null}]'), [{ type: "function", function: { name: "f", strict: true, parameters: null } }]);
  assert.deepEqual([toolsOf(""), toolsOf(" \n"), toolsOf("[]")], [[], [], []]);
});

const wrong: [string, string | RegExp][] = [
  ['[{"name":"f"}', /^This is not JSON: ./],
  ['{"name":"f"}', "Tools stand in an array, in square brackets."],
  ['[{"name":"f"}, 3]', "Tool 2 is not an object."],
  ["[[]]", "Tool 1 is not an object."],
  ["[{}]", "“name” of tool 1 is missing."],
  ['[{"type":"function"}]', "“function” of tool 1 is missing."],
  ['[{"type":"function","function":"f"}]', "“function” of tool 1 is not an object."],
  ['[{"type":"web_search"}]', '“type” of tool 1 is "web_search".'],
  ['[{"name":"f"},{"function":{"description":"x"}}]', "“name” of tool 2 is missing."],
  ['[{"name":3}]', "“name” of tool 1 is not text."],
  ['[{"name":"get weather"}]', '“name” of tool 1 is "get weather": names have letters, digits, _, - and . alone, at most 64.'],
  [`[{"name":"${"f".repeat(65)}"}]`, /at most 64\.$/],
  ['[{"name":"f","description":3}]', "“description” of tool 1 is not text."],
  ['[{"name":"f","parameters":"city"}]', "“parameters” of tool 1 is not an object."],
  ['[{"name":"f","strict":"yes"}]', '“strict” of tool 1 is "yes".'],
  ['[{"name":"f"},{"name":"g"},{"name":"f"}]', "Tools 1 and 3 have the same name."],
];

test("of what is no tool it is said which entry lacks what, in Chinese too", async () => {
  for (const [text, words] of wrong) {
    const said = wrongIn(text);
    if (typeof words === "string") assert.equal(said, words);
    else assert.match(said, words, text);
  }
  await speak("zh");
  for (const [text] of wrong) assert.match(wrongIn(text), /^[^a-z]*\p{Script=Han}/u, text);
  await speak("en");
});

test("tools are kept as they were written, go with every request, and what is none is as if it were absent", () => {
  const written = `[\n ${JSON.stringify(weather)}]`;
  const settings = parse(JSON.stringify({ tools: written, temperature: 0 }));
  assert.equal(settings.tools, written);
  assert.deepEqual(requestOf(settings, ""), { temperature: 0, tools: [{ type: "function", function: weather }] });
  for (const tools of ["[{}]", "[", 3, null, [weather]]) assert.equal(parse(JSON.stringify({ tools })).tools, "");
  assert.deepEqual(requestOf(parse(null), ""), {});
});

/** A question, its calls and what these came to. */
function called(...results: string[]): { tree: Tree; asked: Turn; calling: Turn; replied: Turn } {
  const tree = Tree.begin();
  const asked = tree.add(undefined, { role: "user", content: "What is it like?" });
  const calling = tree.add(asked, { ...calls(call("a"), call("b", "get_time", "{}")), reasoning: "Hm." }, { end: "stop" });
  return { tree, asked, calling, replied: tree.add(calling, given, { results }) };
}

test("what calls came to is a message for each, in their order, after the calls", () => {
  const { tree, asked, calling, replied } = called("sunny", "noon");
  const said = tree.messages(replied);
  assert.deepEqual(said.map(({ role, tool_call_id, content }) => [role, tool_call_id, content]), [
    ["user", undefined, "What is it like?"],
    ["assistant", undefined, null],
    ["tool", "a", "sunny"],
    ["tool", "b", "noon"],
  ]);
  assert.deepEqual(said[1], calling.message);
  const answered = tree.add(replied, { role: "assistant", content: "Sunny." });
  assert.equal(tree.messages(answered).length, 5);
  assert.equal(tree.asked(answered), asked);
  // A file may hold more or fewer of them.
  for (const results of [[], ["sunny", "noon", "more"]]) {
    const { tree, replied } = called(...results);
    assert.deepEqual(tree.messages(replied).slice(2).map(({ content }) => content), [results[0] ?? "", results[1] ?? ""]);
  }
});

test("calls wait for what they come to, and do so again in another branch", () => {
  const { tree, asked, calling, replied } = called("sunny", "noon");
  assert.equal(tree.isPending(calling), false);
  const other = tree.add(calling, { role: "user", content: "Never mind." });
  assert.equal(tree.isPending(calling), true);
  tree.choose(replied);
  assert.equal(tree.isPending(calling), false);
  const again = tree.add(calling, given, { results: ["rainy", "noon"] });
  assert.deepEqual(tree.places(again), [replied, other, again]);
  assert.deepEqual(tree.messages(again).map(({ content }) => content), ["What is it like?", null, "rainy", "noon"]);
  for (const end of ["stopped", "length", "full", "failed", "going"] as const) {
    assert.equal(tree.isPending(tree.add(asked, calls(call("c")), { end })), false, end);
  }
  assert.equal(tree.isPending(tree.add(asked, { role: "assistant", content: "So." }, { end: "stop" })), false);
});

test("the passages of a question go with it to the answer after its calls", () => {
  const tree = Tree.begin();
  const asked = tree.add(undefined, { role: "user", content: "Why?" }, { passages: [{ source: "a.txt", text: "A" }] });
  const replied = tree.add(tree.add(asked, calls(call("a"))), given, { results: ["sunny"] });
  assert.match(tree.messages(replied)[0]!.content!, /^\[1\] a\.txt:\nA/);
});

test("calls and what they came to come back from JSON as they went", () => {
  const { tree, replied } = called("sunny", "");
  tree.add(replied, { role: "assistant", content: "Sunny." }, { end: "stop" });
  const [kept] = fromJson(toJson([tree]));
  const again = new Tree(kept!.head, kept!.turns);
  const plain = (tree: Tree) => tree.path.map(({ message, results, end }) => ({ message, results, end }));
  assert.deepEqual(plain(again), plain(tree));
  assert.deepEqual(again.messages(again.path.at(-1)), tree.messages(tree.path.at(-1)));
});

test("results that are none are refused in words, with the place", () => {
  const file = (turn: object) => JSON.stringify({ format: "quire-conversations", conversations: [{ turns: [{ id: "a", parent: "", ...turn }] }] });
  const bad: [object, RegExp][] = [
    [{ message: given, results: "sunny" }, /turns\[0\]\.results is not an array/],
    [{ message: given, results: [3] }, /turns\[0\]\.results is not text/],
    [{ message: given }, /role is "tool"/],
    [{ message: { role: "user", content: "x" }, results: ["x"] }, /role is "user"/],
  ];
  for (const [turn, words] of bad) assert.throws(() => fromJson(file(turn)), words);
});

test("Markdown has calls and what they came to, whatever fences are in it", () => {
  const { tree, replied } = called("sunny", "```\nnoon\n```");
  tree.add(replied, { role: "assistant", content: "Sunny." });
  const parts = [
    "# What is it like?",
    "## You",
    "What is it like?",
    "## Answer",
    "> Hm.",
    '```json\nget_weather({"city":"Paris"})\n```',
    "```json\nget_time({})\n```",
    "## Result",
    "```\nsunny\n```",
    "````\n```\nnoon\n```\n````",
    "## Answer",
    "Sunny.",
  ];
  assert.equal(toMarkdown(tree.head.title, tree.path, { you: "You", answer: "Answer", result: "Result" }), `${parts.join("\n\n")}\n`);
});
