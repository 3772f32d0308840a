/** Vercel's AI SDK over an engine that the test plays. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import { quire } from "../src/ai-sdk.ts";
import { abortError, QuireError } from "../src/errors.ts";
import type { ChatCompletionChunk, ChatRequest, Engine, Tool } from "../src/index.ts";

type Delta = ChatCompletionChunk["choices"][0]["delta"];

const details = { prompt_tokens_details: { cached_tokens: 2 }, completion_tokens_details: { reasoning_tokens: 3 } };
const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13, ...details };
const named = { id: "chatcmpl-1", created: 5, model: "played" };

/** An engine that gives `answers`, one after the other, and writes down what it was asked. */
function played(answers: Delta[][], failure?: Error) {
  const asked: (ChatRequest & Record<string, unknown>)[] = [];
  const create = async (body: ChatRequest, options?: { signal?: AbortSignal }) => {
    asked.push(JSON.parse(JSON.stringify(body)) as (typeof asked)[0]);
    const deltas = answers.shift() ?? [];
    const finish_reason = deltas.some((delta) => delta.tool_calls) ? "tool_calls" : "stop";
    if (!body.stream) {
      const join = (key: "content" | "reasoning") => deltas.map((delta) => delta[key] ?? "").join("");
      const calls = deltas.flatMap(({ tool_calls = [] }) => tool_calls);
      const tool_calls = calls.length > 0 ? [{ id: calls[0]!.id!, type: "function" as const, function: { name: calls[0]!.function.name!, arguments: calls.map((call) => call.function.arguments).join("") } }] : undefined;
      const message = { role: "assistant", content: join("content") || null, reasoning: join("reasoning"), ...(tool_calls && { tool_calls }) };
      return { ...named, object: "chat.completion", choices: [{ index: 0, message, logprobs: null, finish_reason }], usage };
    }
    return (async function* () {
      for (const delta of deltas) {
        if (options?.signal?.aborted) throw abortError(options.signal);
        yield { ...named, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: null }] };
      }
      if (failure) throw failure;
      yield { ...named, object: "chat.completion.chunk", choices: [{ index: 0, delta: {}, finish_reason }] };
      yield { ...named, object: "chat.completion.chunk", choices: [], usage };
    })();
  };
  const engine = { chat: { completions: { create } }, info: { name: "played" } } as unknown as Pick<Engine, "chat" | "info">;
  return { model: quire(engine), asked };
}

const call = (name: string | undefined, text: string): Delta => ({
  tool_calls: [{ index: 0, ...(name && { id: "call_1", type: "function" as const }), function: { ...(name && { name }), arguments: text } }],
});

test("text and reasoning stream apart, with usage and the reason of the end", async () => {
  const { model, asked } = played([[{ role: "assistant" }, { reasoning: "I " }, { reasoning: "think." }, { content: "Pa" }, { content: "ris" }]]);
  const result = streamText({ model, system: "Be brief.", prompt: "Capital?", temperature: 0, topK: 3, maxOutputTokens: 7, reasoning: "low", providerOptions: { quire: { min_p: 0.1 } } });
  const types: string[] = [];
  for await (const part of result.fullStream) types.push(part.type);
  assert.equal(await result.text, "Paris");
  assert.equal(await result.reasoningText, "I think.");
  assert.equal(await result.finishReason, "stop");
  const { inputTokens, outputTokens, outputTokenDetails } = await result.usage;
  assert.deepEqual([inputTokens, outputTokens, outputTokenDetails], [9, 4, { reasoningTokens: 3, textTokens: 1 }]);
  const starts = types.filter((type) => /^(reasoning|text)-/.test(type));
  assert.deepEqual(starts, ["reasoning-start", "reasoning-delta", "reasoning-delta", "reasoning-end", "text-start", "text-delta", "text-delta", "text-end"]);
  const { messages, stream_options, stream, ...rest } = asked[0]!;
  assert.deepEqual(messages, [{ role: "system", content: "Be brief." }, { role: "user", content: "Capital?" }]);
  assert.deepEqual(rest, { temperature: 0, top_k: 3, max_completion_tokens: 7, reasoning_effort: "low", min_p: 0.1 });
});

const weather = tool({
  description: "Weather at a place",
  inputSchema: jsonSchema<{ city: string }>({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
  strict: true,
  execute: async ({ city }) => ({ city, sky: "blue" }),
});

for (const streams of [true, false]) {
  test(`a tool is called and its result goes back, ${streams ? "streamed" : "whole"}`, async () => {
    const { model, asked } = played([[{ reasoning: "Look." }, call("weather", '{"ci'), call(undefined, 'ty":"Oslo"}')], [{ content: "Blue." }]]);
    const options = { model, prompt: "Weather in Oslo?", tools: { weather }, toolChoice: "auto" as const, stopWhen: stepCountIs(2) };
    const text = streams ? await streamText(options).text : (await generateText(options)).text;
    assert.equal(text, "Blue.");
    assert.equal(asked[0]!["tool_choice"], "auto");
    const { name, strict } = (asked[0]!.tools![0] as Tool).function;
    assert.deepEqual([name, strict], ["weather", true]);
    const tool_calls = [{ id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } }];
    assert.deepEqual(asked[1]!.messages.slice(1), [
      { role: "assistant", content: null, reasoning: "Look.", tool_calls },
      { role: "tool", tool_call_id: "call_1", content: '{"city":"Oslo","sky":"blue"}' },
    ]);
  });
}

test("structured output is asked for as a JSON schema, and read", async () => {
  const { model, asked } = played([[{ content: '{"capital":' }, { content: '"Paris"}' }]]);
  const schema = jsonSchema<{ capital: string }>({ type: "object", properties: { capital: { type: "string" } }, required: ["capital"] });
  const { output } = await generateText({ model, prompt: "France", output: Output.object({ schema }) });
  assert.deepEqual(output, { capital: "Paris" });
  const format = asked[0]!["response_format"] as { type: string; json_schema: { schema: { required: string[] } } };
  assert.equal(format.type, "json_schema");
  assert.deepEqual(format.json_schema.schema.required, ["capital"]);
});

test("an abort ends the stream, and an error comes with its code", async () => {
  const controller = new AbortController();
  const { model } = played([[{ content: "a" }, { content: "b" }]]);
  const parts: string[] = [];
  for await (const part of streamText({ model, prompt: "x", abortSignal: controller.signal, onError() {} }).fullStream) {
    parts.push(part.type);
    if (part.type === "text-delta") controller.abort();
  }
  assert.ok(parts.includes("abort"), parts.join());

  const failing = played([[{ content: "a" }]], new QuireError("device_lost", "gone"));
  let seen: unknown;
  for await (const part of streamText({ model: failing.model, prompt: "x", onError() {} }).fullStream) if (part.type === "error") seen = part.error;
  assert.ok(seen instanceof QuireError && seen.code === "device_lost");
});

test("what is not text is refused in words", async () => {
  const { model } = played([]);
  const content = [{ type: "file" as const, data: new Uint8Array(3), mediaType: "image/png" }];
  await assert.rejects(generateText({ model, messages: [{ role: "user", content }], maxRetries: 0 }), /text alone, not image\/png/);
});
