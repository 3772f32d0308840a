/** OpenAI's types against ours: what is written for its client is asked of the engine, and what the engine says is read as its client's. */

import { test } from "node:test";
import type OpenAI from "openai";
import type { zodResponseFormat } from "openai/helpers/zod";
import type { ChatRequest, Engine, RequestMessage, Response, ResponseFormat, ResponseStreamEvent, ResponseTool, Tool, ToolChoice } from "../src/index.ts";

/** Compiles only where a `From` may stand for a `To`. */
function fits<From extends To, To>(): void {}

test("what OpenAI's client is asked can be asked of the engine", () => {
  fits<OpenAI.ChatCompletionMessageParam[], RequestMessage[]>();
  fits<OpenAI.ChatCompletionMessage, RequestMessage>();
  fits<OpenAI.ChatCompletionFunctionTool, Tool>();
  fits<OpenAI.ChatCompletionTool[], NonNullable<ChatRequest["tools"]>>();
  fits<OpenAI.ChatCompletionToolChoiceOption, ToolChoice>();
  fits<OpenAI.ResponseFormatJSONSchema, ResponseFormat>();
  fits<OpenAI.Responses.FunctionTool, ResponseTool>();
  fits<OpenAI.ChatCompletionCreateParamsNonStreaming, ChatRequest>();
  fits<OpenAI.ChatCompletionCreateParamsStreaming, ChatRequest>();
  fits<ReturnType<typeof zodResponseFormat>, ResponseFormat>();
});

/** Never called: which of the engine's answers a request has, its type tells. */
export async function asked(engine: Engine, whole: OpenAI.ChatCompletionCreateParamsNonStreaming, stream: OpenAI.ChatCompletionCreateParamsStreaming) {
  const answer: OpenAI.ChatCompletion = await engine.chat.completions.create(whole);
  const chunks: AsyncIterable<OpenAI.ChatCompletionChunk> = await engine.chat.completions.create(stream);
  return { answer, chunks };
}

test("what the engine says is what OpenAI's client says", () => {
  fits<Response, OpenAI.Responses.Response>();
  fits<ResponseStreamEvent, OpenAI.Responses.ResponseStreamEvent>();
});
