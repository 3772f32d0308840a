// OpenAI's client and the engine's own face, asked all that there is: by a model that thinks, calls and says what its script says
// (tests/src/parrot.rs). `quire serve` has the same asked of it (tests/clients/openai.test.mjs).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { load } from "./engine.mjs";
import { openPage } from "./serve.mjs";

const SAID = "Hello, world! How are you?";
const THOUGHT = "They greet me.";

export const tests = {
  async "the model is served, and thinks before it speaks"(tab, options) {
    await openPage(tab, options);
    assert.equal(await tab.evaluate(load, { bytes: (await readFile(options.parrot)).toString("base64") }), undefined);
    const { message, streamed } = await tab.evaluate(async () => {
      await window.engine.serve("service-worker.js");
      const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
      window.weather = { name: "get_weather", description: "Tells the weather", parameters };
      window.asked = { model: "parrot", messages: [{ role: "user", content: "Hello!" }] };
      const whole = await window.openai.chat.completions.create(window.asked);
      const stream = window.openai.chat.completions.stream(window.asked);
      return { message: whole.choices[0].message, streamed: (await stream.finalChatCompletion()).choices[0].message.content };
    });
    assert.deepEqual([message.content, message.reasoning, streamed], [SAID, THOUGHT, SAID]);
  },

  async "tools are called by the client's own runner, and in a stream"(tab) {
    const { said, cities, streamed } = await tab.evaluate(async () => {
      const cities = [];
      const call = { ...window.weather, parse: JSON.parse, function: ({ city }) => (cities.push(city), "sunny") };
      const runner = window.openai.chat.completions.runTools({ ...window.asked, tools: [{ type: "function", function: call }] });
      const said = await runner.finalContent();
      const tools = [{ type: "function", function: window.weather }];
      const [choice] = (await window.openai.chat.completions.stream({ ...window.asked, tools }).finalChatCompletion()).choices;
      return { said, cities, streamed: [choice.finish_reason, choice.message.tool_calls[0].function.arguments] };
    });
    assert.deepEqual([said, cities], [SAID, ["Paris"]]);
    assert.deepEqual(streamed, ["tool_calls", '{"city":"Paris"}']);
  },

  async "a call and its result go back and forth by hand"(tab) {
    const found = await tab.evaluate(async () => {
      const ask = async (change) => (await window.openai.chat.completions.create({ ...window.asked, tools: [{ type: "function", function: window.weather }], ...change })).choices[0];
      const called = await ask({});
      const result = { role: "tool", tool_call_id: called.message.tool_calls[0].id, content: "sunny" };
      const after = await ask({ messages: [...window.asked.messages, called.message, result] });
      return { called: [called.finish_reason, called.message.content, called.message.tool_calls[0].function.name], after: [after.finish_reason, after.message.content] };
    });
    assert.deepEqual(found.called, ["tool_calls", null, "get_weather"]);
    assert.deepEqual(found.after, ["stop", SAID]);
  },

  async "tool_choice says whether tools are called, and which"(tab) {
    const found = await tab.evaluate(async () => {
      const tools = [window.weather, { ...window.weather, name: "get_time" }].map((tool) => ({ type: "function", function: tool }));
      const ask = async (tool_choice) => {
        const { message } = (await window.openai.chat.completions.create({ ...window.asked, tools, tool_choice })).choices[0];
        return [message.content, (message.tool_calls ?? []).map((call) => [call.function.name, call.function.arguments])];
      };
      return { none: await ask("none"), required: await ask("required"), named: await ask({ type: "function", function: { name: "get_time" } }) };
    });
    assert.deepEqual(found.none, [SAID, []]);
    const [content, [[name, given], ...others]] = found.required;
    assert.ok(["get_weather", "get_time"].includes(name), name);
    assert.deepEqual([content, given, others], [null, '{"city":"Paris"}', []]);
    assert.deepEqual(found.named, [null, [["get_time", '{"city":"Paris"}']]]);
  },

  async "logprobs are those of the answer's tokens, whole and in a stream"(tab) {
    const { whole, streamed } = await tab.evaluate(async () => {
      const asked = { ...window.asked, logprobs: true, top_logprobs: 3 };
      const whole = (await window.openai.chat.completions.create(asked)).choices[0].logprobs.content;
      const streamed = [];
      for await (const { choices } of await window.openai.chat.completions.create({ ...asked, stream: true })) streamed.push(...(choices[0]?.logprobs?.content ?? []));
      return { whole, streamed };
    });
    for (const tokens of [whole, streamed]) {
      assert.equal(tokens.map(({ token }) => token).join(""), SAID);
      for (const { logprob, top_logprobs } of tokens) {
        assert.equal(top_logprobs.length, 3);
        assert.ok(logprob <= 0 && logprob === top_logprobs[0].logprob && logprob > top_logprobs[1].logprob);
      }
    }
  },

  async "n answers differ, and a seed repeats them"(tab) {
    const [once, again, other] = await tab.evaluate(async () => {
      // Text without an end, and not twice the same.
      const endless = { model: "parrot", prompt: "x", max_tokens: 8, n: 3, logit_bias: { 261: -100, 262: -100, 263: -100 } };
      const ask = async (seed) => (await window.openai.completions.create({ ...endless, seed })).choices.map(({ index, text }) => [index, text]);
      return [await ask(5), await ask(5), await ask(6)];
    });
    assert.deepEqual(once.map(([index]) => index), [0, 1, 2]);
    assert.equal(new Set(once.map(([, text]) => text)).size, 3);
    assert.deepEqual(again, once);
    assert.notDeepEqual(other, once);
  },

  async "an answer ends before a stop string, in a stream too, and at its length"(tab) {
    const found = await tab.evaluate(async () => {
      const ask = async (change) => (await window.openai.chat.completions.create({ ...window.asked, ...change })).choices[0];
      const whole = await ask({ stop: ["are", "never"] });
      let [text, end] = ["", null];
      for await (const { choices } of await window.openai.chat.completions.create({ ...window.asked, stop: "are", stream: true })) {
        text += choices[0].delta.content ?? "";
        end = choices[0].finish_reason;
      }
      const short = await ask({ max_completion_tokens: 3 });
      return { whole: [whole.message.content, whole.finish_reason], streamed: [text, end], short: short.finish_reason };
    });
    assert.deepEqual(found, { whole: ["Hello, world! How ", "stop"], streamed: ["Hello, world! How ", "stop"], short: "length" });
  },

  async "a response is its text, in events too, and goes on after a call"(tab) {
    const found = await tab.evaluate(async () => {
      const { responses } = window.openai;
      const request = { model: "parrot", instructions: "Be kind.", input: "Hello!" };
      const whole = await responses.create(request);
      const stream = responses.stream(request);
      let text = "";
      stream.on("response.output_text.delta", ({ delta }) => (text += delta));
      const final = (await stream.finalResponse()).output_text;

      const tools = [{ type: "function", strict: false, ...window.weather }];
      const input = [{ role: "user", content: "Hello!" }];
      const called = await responses.create({ model: "parrot", input, tools });
      const call = called.output.find(({ type }) => type === "function_call");
      input.push(...called.output, { type: "function_call_output", call_id: call.call_id, output: "sunny" });
      const after = (await responses.create({ model: "parrot", input, tools })).output_text;
      const refused = await window.failure(responses.create({ ...request, previous_response_id: "resp_1" }));
      return { whole: [whole.status, whole.output_text, whole.output.map(({ type }) => type)], text, final, call: [call.name, call.arguments], after, refused };
    });
    assert.deepEqual(found.whole, ["completed", SAID, ["reasoning", "message"]]);
    assert.deepEqual([found.text, found.final, found.after], [SAID, SAID, SAID]);
    assert.deepEqual(found.call, ["get_weather", '{"city":"Paris"}']);
    assert.deepEqual(found.refused, ["BadRequestError", 400, "invalid_request_error", null]);
  },

  async "the engine itself gives responses: whole, as events, aborted, and refused by code"(tab) {
    const found = await tab.evaluate(async () => {
      const { responses } = window.engine;
      const { output_text, status, usage } = await responses.create({ input: "Hello!" });
      let [text, kinds] = ["", []];
      for await (const event of await responses.create({ input: "Hello!", stream: true })) {
        kinds.push(event.type);
        if (event.type === "response.output_text.delta") text += event.delta;
      }
      const controller = new AbortController();
      const stream = await responses.create({ input: "Hello!", stream: true }, { signal: controller.signal });
      const aborted = await (async () => {
        for await (const _ of stream) controller.abort();
      })().catch(({ name }) => name);
      for await (const _ of await responses.create({ input: "Hello!", stream: true })) break;
      const next = await responses.create({ input: "Hello!", max_output_tokens: 2 });
      const refused = await responses.create({ input: [{ type: "item_reference" }] }).catch(({ code, message }) => [code, message]);
      return { output_text, status, usage, text, kinds: [kinds[0], kinds.at(-1)], aborted, next: next.incomplete_details, refused };
    });
    assert.deepEqual([found.output_text, found.status, found.text], [SAID, "completed", SAID]);
    assert.ok(found.usage.output_tokens_details.reasoning_tokens > 0);
    assert.deepEqual(found.kinds, ["response.created", "response.completed"]);
    assert.deepEqual([found.aborted, found.next], ["AbortError", { reason: "max_output_tokens" }]);
    assert.equal(found.refused[0], "invalid_request");
    assert.match(found.refused[1], /item_reference/);
  },

  async "a response that is left or aborted over HTTP frees the engine"(tab) {
    const found = await tab.evaluate(async () => {
      const { responses } = window.openai;
      for await (const _ of await responses.create({ ...window.asked, input: "Hello!", stream: true })) break;
      const controller = new AbortController();
      const aborted = window.failure(responses.create({ input: "Hello!" }, { signal: controller.signal }));
      setTimeout(() => controller.abort(), 50);
      const begin = performance.now();
      const [failed] = await aborted;
      await responses.create({ input: "Hello!", max_output_tokens: 1 });
      return { failed, seconds: (performance.now() - begin) / 1000 };
    });
    assert.equal(found.failed, "APIUserAbortError");
    assert.ok(found.seconds < 5, `${found.seconds}`);
  },
};

/** Chromium's adapter takes a minute to load another engine. */
export const several = {
  async "of two engines that one answers which has the model, and neither another's"(tab, options) {
    const found = await tab.evaluate(async (base64) => {
      const { createEngine } = await import(new URL("index.js", document.baseURI).href);
      const model = new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], "other.gguf");
      const other = await createEngine({ model });
      await other.serve("service-worker.js");
      /** Which engine had something to do. */
      const asked = async (model) => {
        const tokens = async () => [(await window.engine.stats()).tokens, (await other.stats()).tokens];
        const before = await tokens();
        await window.openai.chat.completions.create({ ...window.asked, model, max_tokens: 2 });
        return (await tokens()).map((tokens, n) => tokens > before[n]);
      };
      const answered = [await asked("file"), await asked("other")];
      const refused = await window.failure(window.openai.chat.completions.create({ ...window.asked, model: "gpt-5" }));
      await other.unload();
      return { answered, refused };
    }, (await readFile(options.parrot)).toString("base64"));
    assert.deepEqual(found.answered, [[true, false], [false, true]]);
    assert.deepEqual(found.refused, ["NotFoundError", 404, "invalid_request_error", "model_not_found"]);
  },
};
