// Answers that must be of a form, and the wasm module that follows forms, which only these ask for.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

import { chatty, load, read } from "./engine.mjs";
import { serveFolders } from "./folder.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const MODULE = "quire_grammar_bg.wasm";

/** In the page: asks the engine with nothing left to chance. Resolves to the answer and its tokens, or to how it failed. */
async function ask(body) {
  try {
    const request = { messages: [{ role: "user", content: "the" }], temperature: 0, max_tokens: 100, ...body };
    const { choices, usage } = await window.engine.chat.completions.create(request);
    const { message, finish_reason } = choices[0];
    return { content: message.content, calls: message.tool_calls, finish: finish_reason, tokens: usage.completion_tokens };
  } catch ({ code, message }) {
    return { code, message };
  }
}

const ofSchema = (schema) => ({ response_format: { type: "json_schema", json_schema: { name: "it", schema } } });
const choice = ofSchema({ enum: ["yes", "no"] });

export const tests = {
  async "an answer of any form needs no module for it, one that must be of a form says that it is not there"(tab, { packaged }) {
    const server = await serveFolders({ site: [join(packaged, "plain/quire"), here] });
    tab.server = server;
    server.absent.add(MODULE);
    await tab.goto(`${server.url}site/blank.html`);
    assert.equal(await tab.evaluate(load, { bytes: chatty(await read("nano/nano.gguf")).toString("base64") }), undefined);
    assert.equal((await tab.evaluate(ask, { max_tokens: 2 })).code, undefined);
    assert.ok(!server.asked.includes(MODULE));
    const failed = await tab.evaluate(ask, choice);
    assert.equal(failed.code, "network", JSON.stringify(failed));
    assert.match(failed.message, /part of Quire that could not be loaded: .*quire_grammar_bg\.wasm answers 404/);
    assert.equal((await tab.evaluate(ask, { max_tokens: 2 })).code, undefined);
  },

  async "once it is there it is fetched, and answers are of their schemas"(tab) {
    const { server } = tab;
    server.absent.clear();
    const before = server.asked.length;
    assert.match((await tab.evaluate(ask, choice)).content, /^"(yes|no)"$/);
    const properties = { city: { type: "string", maxLength: 5 }, degrees: { type: "integer", minimum: -40, maximum: 50 } };
    const place = { type: "object", properties, required: ["city", "degrees"], additionalProperties: false };
    const said = await tab.evaluate(ask, ofSchema(place));
    assert.equal(said.finish, "stop");
    const { city, degrees, ...others } = JSON.parse(said.content);
    assert.ok([...city].length <= 5 && degrees >= -40 && degrees <= 50 && Object.keys(others).length === 0, said.content);
    assert.equal(server.asked.slice(before).filter((name) => name === MODULE).length, 1);
    return said.content;
  },

  async "what can only be said in one way is spelled as the model was taught"(tab) {
    const [text, grammar] = ["the water of the river", 'start: "the water of the river"'];
    const { content, tokens } = await tab.evaluate(ask, { grammar });
    assert.equal(content, text);
    // One more ends it.
    assert.equal(tokens - 1, await tab.evaluate(async (text) => (await window.engine.tokenize(text)).length, text));
  },

  async "what cannot be met is refused in words, and the next answer is whole"(tab) {
    const refused = await tab.evaluate(ask, ofSchema({ type: "integer", minimum: 5, maximum: 3 }));
    assert.equal(refused.code, "invalid_request");
    assert.match(refused.message, /Unsatisfiable schema/);
    assert.match((await tab.evaluate(ask, { grammar: 'start: "a" missing' })).message, /missing/);
    assert.match((await tab.evaluate(ask, choice)).content, /^"(yes|no)"$/);
  },

};

/** Where a software adapter has time for another model. */
export const calls = {
  async "a call that is required is made, with arguments of its schema"(tab) {
    assert.equal(await tab.evaluate(load, { bytes: (await read("nano/nano.gguf")).toString("base64") }), undefined);
    const parameters = { type: "object", properties: { on: { type: "boolean" } }, required: ["on"], additionalProperties: false };
    const tools = [{ type: "function", function: { name: "switch", parameters, strict: true } }];
    // It calls without a thought: its turn begins with ` to=`.
    const { finish, calls } = await tab.evaluate(ask, { tools, tool_choice: "required", logit_bias: { 256: 30 } });
    assert.equal(finish, "tool_calls");
    assert.equal(calls[0].function.name, "switch");
    assert.match(calls[0].function.arguments, /^\{\s*"on":\s*(true|false)\s*\}$/);
  },
};
