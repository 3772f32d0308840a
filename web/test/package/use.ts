/** How a project uses the package; its types are checked against the installed one. */

import type { LanguageModelV4 } from "@ai-sdk/provider";
import type OpenAI from "openai";
import { createEngine, type Engine, isSupported, QuireError } from "quire";
import { quire } from "quire/ai-sdk";

export async function capital(write: (text: string) => void): Promise<string> {
  const support = await isSupported();
  if (!support.ok) return support.reason;
  try {
    await using engine = await createEngine({ model: "/model.gguf", onProgress: ({ loaded, total }) => write(`${loaded / total}`) });
    const messages = [{ role: "user" as const, content: "What is the capital of France?" }];
    const stream = await engine.chat.completions.create({ messages, stream: true }, { signal: AbortSignal.timeout(10_000) });
    for await (const chunk of stream) write(chunk.choices[0]?.delta.content ?? "");
    write(`${(await engine.tokenize({ messages })).length} tokens`);
    const whole = await engine.chat.completions.create({ messages, n: 1, logprobs: true });
    write(`${whole.usage.completion_tokens} at ${whole.timings.decode_tps} tokens a second, the first ${whole.choices[0]?.logprobs?.content[0]?.token}`);
    for await (const event of await engine.responses.create({ input: "Hello!", stream: true })) {
      if (event.type === "response.output_text.delta") write(event.delta);
      if (event.type === "response.completed") write(`${event.response.usage?.output_tokens} tokens`);
    }
    write((await engine.responses.create({ input: [{ role: "user", content: "Hello!" }] })).output_text ?? "");
    // @ts-expect-error: a whole answer is no stream
    whole[Symbol.asyncIterator];
    return whole.choices[0]?.message.content ?? "";
  } catch (error) {
    if (error instanceof QuireError && error.code === "out_of_memory") return "too large";
    throw error;
  }
}

/** What was written for OpenAI's client. */
export async function asOpenAis(engine: Engine, body: OpenAI.ChatCompletionCreateParamsNonStreaming): Promise<OpenAI.ChatCompletion> {
  return engine.chat.completions.create(body);
}

export async function model(engine: Engine): Promise<LanguageModelV4> {
  const { baseURL } = await engine.serve("/service-worker.js");
  console.log(baseURL);
  return quire(engine);
}
