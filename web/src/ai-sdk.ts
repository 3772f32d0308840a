/**
 * An engine as a language model of Vercel's AI SDK.
 *
 * ```ts
 * const { textStream } = streamText({ model: quire(engine), prompt: "Why is the sky blue?" });
 * ```
 */

import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4Prompt,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolResultOutput,
  LanguageModelV4Usage,
  SharedV4Warning,
} from "@ai-sdk/provider";
import type { ChatCompletionChunk, ChatRequest, Engine, FinishReason, RequestMessage, Tool, Usage } from "./index.ts";

/**
 * The engine's model for `generateText`, `streamText` and whatever else takes one: with reasoning, tools and structured output. What the SDK
 * has no setting for goes under `providerOptions.quire`, as OpenAI or Quire call it: `min_p`, `logit_bias`, …
 *
 * Calls fail as the engine's do, with a `QuireError`; it answers one at a time.
 */
export function quire(engine: Pick<Engine, "chat" | "info">): LanguageModelV4 {
  const { completions } = engine.chat;
  return {
    specificationVersion: "v4",
    provider: "quire",
    modelId: engine.info.name,
    supportedUrls: {},

    async doGenerate(options) {
      const { body, warnings } = request(options);
      const { id, created, model, choices, usage } = await completions.create({ ...body, stream: false }, callOptions(options));
      const [choice] = choices;
      const content: LanguageModelV4Content[] = [];
      if (choice?.message.reasoning) content.push({ type: "reasoning", text: choice.message.reasoning });
      if (choice?.message.content) content.push({ type: "text", text: choice.message.content });
      for (const { id, function: { name, arguments: input } } of choice?.message.tool_calls ?? []) {
        content.push({ type: "tool-call", toolCallId: id, toolName: name, input });
      }
      const response = { id, modelId: model, timestamp: new Date(created * 1000) };
      return { content, finishReason: reason(choice?.finish_reason), usage: tokens(usage), warnings, request: { body }, response };
    },

    async doStream(options) {
      const { body, warnings } = request(options);
      const chunks = await completions.create({ ...body, stream: true, stream_options: { include_usage: true } }, callOptions(options));
      const parts = read(chunks, warnings);
      const stream = new ReadableStream<LanguageModelV4StreamPart>({
        async pull(controller) {
          const { value, done } = await parts.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        async cancel() {
          await parts.return();
        },
      });
      return { stream, request: { body } };
    },
  };
}

function callOptions({ abortSignal }: LanguageModelV4CallOptions): { signal?: AbortSignal } {
  return abortSignal ? { signal: abortSignal } : {};
}

/** Chunks as the parts of reasoning, text and calls that they are of, each begun and ended. */
async function* read(chunks: AsyncIterable<ChatCompletionChunk>, warnings: SharedV4Warning[]): AsyncGenerator<LanguageModelV4StreamPart, void> {
  yield { type: "stream-start", warnings };
  let open: { type: "reasoning" | "text"; id: string } | undefined;
  let n = 0;
  const calls = new Map<number, { id: string; name: string; input: string }>();
  let usage: Usage | undefined;
  let finish: FinishReason | undefined;
  let isFirst = true;
  try {
    for await (const chunk of chunks) {
      if (isFirst) yield { type: "response-metadata", id: chunk.id, modelId: chunk.model, timestamp: new Date(chunk.created * 1000) };
      isFirst = false;
      usage = chunk.usage ?? usage;
      const choice = chunk.choices[0];
      if (!choice) continue;
      finish = choice.finish_reason ?? finish;
      const { reasoning, content, tool_calls = [] } = choice.delta;
      for (const [type, delta] of [["reasoning", reasoning], ["text", content]] as const) {
        if (!delta) continue;
        if (open?.type !== type) {
          if (open) yield { type: `${open.type}-end`, id: open.id };
          open = { type, id: `${type}-${n++}` };
          yield { type: `${type}-start`, id: open.id };
        }
        yield { type: `${type}-delta`, id: open.id, delta };
      }
      for (const { index, id, function: { name, arguments: delta } } of tool_calls) {
        let call = calls.get(index);
        if (!call) {
          call = { id: id ?? `call-${index}`, name: name ?? "", input: "" };
          calls.set(index, call);
          yield { type: "tool-input-start", id: call.id, toolName: call.name };
        }
        if (!delta) continue;
        call.input += delta;
        yield { type: "tool-input-delta", id: call.id, delta };
      }
    }
  } catch (error) {
    if (error instanceof DOMException) throw error;
    yield { type: "error", error };
    yield { type: "finish", finishReason: { unified: "error", raw: undefined }, usage: tokens(usage) };
    return;
  }
  if (open) yield { type: `${open.type}-end`, id: open.id };
  for (const { id, name, input } of calls.values()) {
    yield { type: "tool-input-end", id };
    yield { type: "tool-call", toolCallId: id, toolName: name, input };
  }
  yield { type: "finish", finishReason: reason(finish), usage: tokens(usage) };
}

/** The call as an OpenAI request, and what of it the engine does not do. */
function request(options: LanguageModelV4CallOptions): { body: ChatRequest; warnings: SharedV4Warning[] } {
  const warnings: SharedV4Warning[] = [];
  const body: ChatRequest = { messages: messages(options.prompt) };
  const set = <K extends keyof ChatRequest>(key: K, value: ChatRequest[K] | undefined) => {
    if (value !== undefined) body[key] = value;
  };
  set("max_completion_tokens", options.maxOutputTokens);
  set("temperature", options.temperature);
  set("top_p", options.topP);
  set("top_k", options.topK);
  set("presence_penalty", options.presencePenalty);
  set("frequency_penalty", options.frequencyPenalty);
  set("stop", options.stopSequences);
  set("seed", options.seed);
  const { responseFormat: format, toolChoice: choice, reasoning } = options;
  if (format?.type === "json") {
    const { schema, name = "answer", description } = format;
    const named = { name, ...(description !== undefined && { description }), strict: true };
    set("response_format", schema ? { type: "json_schema", json_schema: { ...named, schema } } : { type: "json_object" });
  }
  const tools: Tool[] = [];
  for (const tool of options.tools ?? []) {
    if (tool.type === "provider") {
      warnings.push({ type: "unsupported", feature: `provider tool ${tool.id}` });
      continue;
    }
    const { name, description, inputSchema: parameters, strict } = tool;
    const described = { name, ...(description !== undefined && { description }), parameters, ...(strict !== undefined && { strict }) };
    tools.push({ type: "function", function: described });
  }
  if (tools.length > 0) {
    set("tools", tools);
    set("tool_choice", choice?.type === "tool" ? { type: "function", function: { name: choice.toolName } } : choice?.type);
  }
  if (reasoning && reasoning !== "provider-default") {
    const effort = { none: "low", minimal: "low", low: "low", medium: "medium", high: "high", xhigh: "high", max: "high" } as const;
    set("reasoning_effort", effort[reasoning]);
    if (effort[reasoning] !== reasoning) {
      warnings.push({ type: "compatibility", feature: `reasoning ${reasoning}`, details: `Taken as ${effort[reasoning]}.` });
    }
  }
  return { body: { ...body, ...options.providerOptions?.["quire"] }, warnings };
}

function messages(prompt: LanguageModelV4Prompt): RequestMessage[] {
  return prompt.flatMap((message): RequestMessage[] => {
    switch (message.role) {
      case "system":
        return [{ role: "system", content: message.content }];
      case "user":
        return [{ role: "user", content: message.content.map((part) => (part.type === "text" ? part.text : refuse(part.mediaType))).join("") }];
      case "assistant": {
        const text = (type: "text" | "reasoning") => message.content.map((part) => (part.type === type ? part.text : "")).join("");
        const calls = message.content.flatMap((part) =>
          part.type === "tool-call"
            ? [{ id: part.toolCallId, type: "function" as const, function: { name: part.toolName, arguments: JSON.stringify(part.input) } }]
            : [],
        );
        const reasoning = text("reasoning");
        const content = text("text");
        return [{ role: "assistant", content: content || null, ...(reasoning && { reasoning }), ...(calls.length > 0 && { tool_calls: calls }) }];
      }
      case "tool":
        return message.content.flatMap((part) =>
          part.type === "tool-result" ? [{ role: "tool" as const, tool_call_id: part.toolCallId, content: result(part.output) }] : [],
        );
    }
  });
}

function refuse(mediaType: string): never {
  throw new TypeError(`The model reads text alone, not ${mediaType}.`);
}

/** What a tool gave, in words. */
function result(output: LanguageModelV4ToolResultOutput): string {
  switch (output.type) {
    case "text":
    case "error-text":
      return output.value;
    case "json":
    case "error-json":
      return JSON.stringify(output.value);
    case "execution-denied":
      return output.reason ?? "The call was not allowed.";
    case "content":
      return output.value.map((part) => (part.type === "text" ? part.text : refuse(part.type === "file" ? part.mediaType : part.type))).join("");
  }
}

function reason(raw: FinishReason | undefined): LanguageModelV4FinishReason {
  const unified = { stop: "stop", length: "length", tool_calls: "tool-calls", content_filter: "content-filter" } as const;
  return { unified: raw ? unified[raw] : "other", raw };
}

function tokens(usage: Usage | undefined): LanguageModelV4Usage {
  const { prompt_tokens: total, completion_tokens: said, prompt_tokens_details, completion_tokens_details } = usage ?? {};
  const cached = prompt_tokens_details?.cached_tokens;
  const reasoning = completion_tokens_details?.reasoning_tokens;
  return {
    inputTokens: { total, noCache: total === undefined ? undefined : total - (cached ?? 0), cacheRead: cached, cacheWrite: undefined },
    outputTokens: { total: said, text: said === undefined || reasoning === undefined ? undefined : said - reasoning, reasoning },
  };
}
