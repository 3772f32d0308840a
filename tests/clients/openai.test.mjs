// The official client from npm, unmodified, against `quire serve` with the model that speaks by a script (tests/src/parrot.rs).
// QUIRE_URL says where it is, QUIRE_API_KEY what opens it; it has two places.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const SAID = "Hello, world! How are you?";
const THOUGHT = "They greet me.";
const client = new OpenAI({ baseURL: `${process.env.QUIRE_URL}/v1`, apiKey: process.env.QUIRE_API_KEY, maxRetries: 0 });
const model = "parrot";
const messages = [{ role: "user", content: "Hello!" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", description: "Tells the weather", parameters } }];
const two = [...tools, { type: "function", function: { name: "get_time", description: "Tells the time", parameters } }];
const cities = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"], additionalProperties: false };
const formOf = (schema) => ({ type: "json_schema", json_schema: { name: "place", schema, strict: true } });
/** Text without an end, and not twice the same. */
const endless = { model, prompt: "x", max_tokens: 4000, logit_bias: { 261: -100, 262: -100, 263: -100 } };

test("create gives an answer with its thoughts and its cost", async () => {
  const completion = await client.chat.completions.create({ model, messages });
  const [choice] = completion.choices;
  assert.equal(choice.message.content, SAID);
  assert.equal(choice.message.reasoning, THOUGHT);
  assert.equal(choice.finish_reason, "stop");
  const { prompt_tokens, completion_tokens, total_tokens } = completion.usage;
  assert.equal(prompt_tokens + completion_tokens, total_tokens);
});

test("a stream's deltas are the answer, and its usage comes last", async () => {
  const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), SAID);
  assert.ok(chunks.length > 10);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0 && chunks.at(-1).choices.length === 0);
});

test("the stream helper puts the same message together", async () => {
  const stream = client.chat.completions.stream({ model, messages });
  assert.equal((await stream.finalChatCompletion()).choices[0].message.content, SAID);
});

test("tools are called, by the client's own runner", async () => {
  const asked = [];
  const run = (city) => (asked.push(city), "sunny");
  const tool = { type: "function", function: { ...tools[0].function, parse: JSON.parse, function: run } };
  const runner = client.chat.completions.runTools({ model, messages, tools: [tool] });
  assert.equal(await runner.finalContent(), SAID);
  assert.deepEqual(asked, [{ city: "Paris" }]);
});

test("tools are called in a stream", async () => {
  const stream = client.chat.completions.stream({ model, messages, tools });
  const [choice] = (await stream.finalChatCompletion()).choices;
  assert.equal(choice.finish_reason, "tool_calls");
  assert.deepEqual(JSON.parse(choice.message.tool_calls[0].function.arguments), { city: "Paris" });
});

test("tool_choice says whether tools are called, and which", async () => {
  const ask = async (tool_choice) => (await client.chat.completions.create({ model, messages, tools: two, tool_choice })).choices[0].message;
  const none = await ask("none");
  assert.deepEqual([none.content, none.tool_calls], [SAID, undefined]);
  const called = ({ tool_calls }) => tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
  const [[name, given], ...others] = called(await ask("required"));
  assert.ok(["get_weather", "get_time"].includes(name), name);
  assert.deepEqual([given, others], [{ city: "Paris" }, []]);
  const named = { type: "function", function: { name: "get_time" } };
  assert.deepEqual(called(await ask(named)), [["get_time", { city: "Paris" }]]);
  const stream = client.chat.completions.stream({ model, messages, tools: two, tool_choice: named });
  assert.deepEqual(called((await stream.finalChatCompletion()).choices[0].message), [["get_time", { city: "Paris" }]]);
});

test("an answer is JSON of its schema, plain and by the stream helper, and thoughts stay free", async () => {
  const asked = { model, messages, response_format: formOf(cities) };
  const { message, finish_reason } = (await client.chat.completions.parse(asked)).choices[0];
  assert.deepEqual([message.parsed, message.reasoning, finish_reason], [{ city: "Paris" }, THOUGHT, "stop"]);
  const stream = client.chat.completions.stream(asked);
  assert.deepEqual(JSON.parse(await stream.finalContent()), { city: "Paris" });
  const word = await client.chat.completions.create({ ...asked, response_format: formOf({ enum: ["yes", "no"] }) });
  assert.ok(["yes", "no"].includes(JSON.parse(word.choices[0].message.content)), word.choices[0].message.content);
});

test("a schema that cannot be met is refused in words, in a stream too", async () => {
  const response_format = formOf({ type: "integer", minimum: 5, maximum: 3 });
  for (const stream of [false, true]) {
    const refused = client.chat.completions.create({ model, messages, response_format, stream });
    await assert.rejects(refused, (error) => error instanceof OpenAI.BadRequestError && /cannot be of the form/.test(error.message));
  }
});

test("a response is its text, in events too, and goes on after a call", async () => {
  const request = { model, instructions: "Be kind.", input: "Hello!" };
  const response = await client.responses.create(request);
  assert.equal(response.output_text, SAID);
  assert.equal(response.status, "completed");
  const stream = client.responses.stream(request);
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  assert.equal((await stream.finalResponse()).output_text, SAID);
  assert.equal(text, SAID);

  const flat = [{ type: "function", strict: false, ...tools[0].function }];
  const input = [{ role: "user", content: "Hello!" }];
  const called = await client.responses.create({ model, input, tools: flat });
  const call = called.output.find((item) => item.type === "function_call");
  assert.deepEqual([call.name, JSON.parse(call.arguments)], ["get_weather", { city: "Paris" }]);
  input.push(...called.output, { type: "function_call_output", call_id: call.call_id, output: "sunny" });
  assert.equal((await client.responses.create({ model, input, tools: flat })).output_text, SAID);
});

test("logprobs are those of the answer's tokens", async () => {
  const completion = await client.chat.completions.create({ model, messages, logprobs: true, top_logprobs: 3 });
  const { content } = completion.choices[0].logprobs;
  assert.equal(content.map(({ token }) => token).join(""), SAID);
  for (const { logprob, top_logprobs } of content) {
    assert.equal(top_logprobs.length, 3);
    assert.ok(logprob <= 0 && logprob === top_logprobs[0].logprob);
  }
});

test("n answers differ, and a seed repeats them", async () => {
  const ask = async () => {
    const completion = await client.completions.create({ ...endless, max_tokens: 8, n: 3, seed: 5 });
    return completion.choices.map(({ index, text }) => [index, text]);
  };
  const once = await ask();
  assert.equal(new Set(once.map(([, text]) => text)).size, 3);
  assert.deepEqual(once.map(([index]) => index), [0, 1, 2]);
  assert.deepEqual(await ask(), once);
});

test("an answer ends before a stop string, and at its length", async () => {
  const ask = async (more) => (await client.chat.completions.create({ model, messages, ...more })).choices[0];
  const stopped = await ask({ stop: ["are", "never"] });
  assert.deepEqual([stopped.message.content, stopped.finish_reason], ["Hello, world! How ", "stop"]);
  assert.equal((await ask({ max_completion_tokens: 3 })).finish_reason, "length");
});

test("whoever leaves or aborts frees the model", async () => {
  const left = await client.completions.create({ ...endless, stream: true });
  for await (const _ of left) break;
  const abort = new AbortController();
  const aborted = client.completions.create(endless, { signal: abort.signal });
  setTimeout(() => abort.abort(), 200);
  await assert.rejects(aborted, OpenAI.APIUserAbortError);
  const begin = performance.now();
  await client.chat.completions.create({ model, messages });
  assert.ok(performance.now() - begin < 20_000);
});

test("models are listed", async () => {
  const ids = [];
  for await (const { id } of client.models.list()) ids.push(id);
  assert.deepEqual(ids, [model]);
  const retrieved = await client.models.retrieve(model);
  assert.equal(retrieved.object, "model");
  assert.match(retrieved._request_id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

test("each error has its class", async () => {
  const chat = (body, options) => client.chat.completions.create({ model, messages, ...body }, options);
  await assert.rejects(chat({ n: 99 }), OpenAI.BadRequestError);
  await assert.rejects(chat({ messages: [{ role: "user", content: "x".repeat(5000) }] }), (error) => {
    return error instanceof OpenAI.BadRequestError && error.code === "context_length_exceeded";
  });
  await assert.rejects(chat({ model: "gpt-5" }), (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && error.requestID !== undefined);
  await assert.rejects(client.withOptions({ apiKey: "another" }).models.list(), OpenAI.AuthenticationError);
  await assert.rejects(client.embeddings.create({ model, input: "x" }), OpenAI.NotFoundError);
  const streams = [await client.completions.create({ ...endless, stream: true })];
  const waiting = new AbortController();
  const second = client.completions.create({ ...endless, stream: true }, { signal: waiting.signal }).catch((error) => error);
  await assert.rejects(async () => {
    for (let i = 0; i < 100; i += 1) await chat({}, { timeout: 1000 }).catch((error) => { if (error.status === 429) throw error; });
  }, OpenAI.RateLimitError);
  waiting.abort();
  streams[0].controller.abort();
  assert.ok((await second) instanceof OpenAI.APIUserAbortError);
});
