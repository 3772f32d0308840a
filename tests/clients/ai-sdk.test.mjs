// Vercel's AI SDK over `quire/ai-sdk` over OpenAI's client, against `quire serve` with the model that speaks by a script
// (tests/src/parrot.rs). QUIRE_URL says where it is, QUIRE_API_KEY what opens it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { quire } from "../../web/src/ai-sdk.ts";

const SAID = "Hello, world! How are you?";
const THOUGHT = "They greet me.";
const openai = new OpenAI({ baseURL: `${process.env.QUIRE_URL}/v1`, apiKey: process.env.QUIRE_API_KEY, maxRetries: 0 });
// An engine's chat is called as the client's is.
const model = quire({ chat: openai.chat, info: { name: "parrot" } });
const prompt = "Hello!";
const city = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"], additionalProperties: false };
const inputSchema = jsonSchema(city);

test("text and reasoning stream apart, and each has its cost", async () => {
  const result = streamText({ model, prompt });
  let text = "";
  for await (const part of result.textStream) text += part;
  assert.deepEqual([text, await result.reasoningText, await result.finishReason], [SAID, THOUGHT, "stop"]);
  const { outputTokens, outputTokenDetails } = await result.usage;
  assert.equal(outputTokenDetails.reasoningTokens, 3);
  assert.equal(outputTokenDetails.textTokens, outputTokens - 3);
});

for (const strict of [false, true]) {
  test(`a tool is called and its result goes back, ${strict ? "by a strict schema" : "freely"}`, async () => {
    const asked = [];
    const execute = async ({ city }) => (asked.push(city), "sunny");
    const get_weather = tool({ description: "Tells the weather", inputSchema, strict, execute });
    const result = streamText({ model, prompt, tools: { get_weather }, stopWhen: stepCountIs(2) });
    assert.equal(await result.text, SAID);
    assert.deepEqual([asked, (await result.steps).length], [["Paris"], 2]);
  });
}

test("a tool that is chosen is called", async () => {
  const [get_weather, get_time] = ["weather", "time"].map((what) => tool({ description: `Tells the ${what}`, inputSchema }));
  const { toolCalls } = await generateText({ model, prompt, tools: { get_weather, get_time }, toolChoice: { type: "tool", toolName: "get_time" } });
  assert.deepEqual(toolCalls.map(({ toolName, input }) => [toolName, input]), [["get_time", { city: "Paris" }]]);
});

test("output is of its schema, whole and in a stream", async () => {
  const output = Output.object({ schema: inputSchema });
  assert.deepEqual((await generateText({ model, prompt, output })).output, { city: "Paris" });
  assert.deepEqual(await streamText({ model, prompt, output }).output, { city: "Paris" });
});

test("a schema that cannot be met fails in words", async () => {
  const output = Output.object({ schema: jsonSchema({ type: "integer", minimum: 5, maximum: 3 }) });
  await assert.rejects(generateText({ model, prompt, output, maxRetries: 0 }), /cannot be of the form/);
});
