/** An answer as it comes: chunks folded into a turn, and how fast they came. */

import { type ChatCompletionChunk, type ChatRequest, type Message, QuireError } from "../src/index.ts";
import { known, t } from "./language.ts";
import type { Talker } from "./served.ts";
import type { Turn } from "./tree.ts";

/** What an engine says beside usage of how fast it was; other sources of chunks may not. */
interface Timings {
  prefill_seconds: number;
  prefill_tps: number;
  decode_tps: number;
}

/** How an answer goes: tokens a second so far, and what the engine said when it was whole. */
export interface Pace {
  tokensPerSecond: number | undefined;
  promptTokens?: number;
  tokens?: number;
  timings?: Timings;
}

/** Puts `request` to the engine and lets `turn` grow by the answer. Never rejects: trouble is noted in the turn. */
export async function answer(
  engine: Talker,
  request: ChatRequest,
  turn: Turn,
  onGrowth: (pace: Pace) => void,
  signal: AbortSignal,
): Promise<void> {
  turn.end = "going";
  delete turn.trouble;
  const hasBegun = Boolean(turn.message.content || turn.message.reasoning);
  try {
    const stream = await engine.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }, { signal });
    const meter = new Meter();
    let end: Turn["end"] = "stop";
    let tokens = 0;
    for await (const chunk of stream) {
      const choice = chunk.choices[0];
      if (choice && grow(turn.message, choice.delta)) meter.tick();
      if (choice?.finish_reason === "length") end = "length";
      tokens = chunk.usage?.completion_tokens ?? tokens;
      onGrowth(meter.pace(chunk));
    }
    // What is cut before its longest length is cut by the context.
    turn.end = end === "length" && tokens < (request.max_tokens ?? Infinity) ? "full" : end;
  } catch (error) {
    const isAbort = error instanceof DOMException && error.name === "AbortError";
    // Nothing is wrong with an answer that only cannot go on.
    const isFull = error instanceof QuireError && error.code === "context_length";
    turn.end = isAbort ? "stopped" : isFull && hasBegun ? "full" : "failed";
    if (turn.end !== "failed") return;
    turn.trouble = isFull ? t("This does not fit into the context: {why}. {what}", { why: error.message, what: ofFull() }) : words(error);
  }
}

/** Takes a delta into a message; says whether it had something to say. */
export function grow(message: Message, { content, reasoning, tool_calls = [] }: ChatCompletionChunk["choices"][0]["delta"]): boolean {
  if (reasoning) message.reasoning = (message.reasoning ?? "") + reasoning;
  if (content) message.content = (message.content ?? "") + content;
  for (const { index, id, function: called } of tool_calls) {
    const calls = (message.tool_calls ??= []);
    const call = (calls[index] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
    call.id ||= id ?? "";
    call.function.name ||= called?.name ?? "";
    call.function.arguments += called?.arguments ?? "";
  }
  return Boolean(content || reasoning || tool_calls.length > 0);
}

/** Tokens a second, from the first token on: before it lies the prompt. */
class Meter {
  #first = 0;
  #last = 0;
  #pieces = 0;

  tick(): void {
    this.#last = performance.now();
    this.#first ||= this.#last;
    this.#pieces += 1;
  }

  pace({ usage, timings }: ChatCompletionChunk & { timings?: Timings | null }): Pace {
    const tokens = usage?.completion_tokens ?? this.#pieces;
    const seconds = (this.#last - this.#first) / 1000;
    return {
      tokensPerSecond: seconds > 0 && tokens > 1 ? (tokens - 1) / seconds : undefined,
      ...(usage && { tokens, promptTokens: usage.prompt_tokens }),
      ...(timings && { timings }),
    };
  }
}

/** What to do once the context is full. A server's is not for its guests to set. */
export function ofFull(): string {
  const isServed = document.documentElement.dataset["engine"] === "server";
  return isServed ? t("Begin a new conversation.") : t("Set a longer context in Settings and load the model again, or begin a new conversation.");
}

/** An error as a sentence. */
export function words(error: unknown): string {
  if (!(error instanceof QuireError)) return known(error instanceof Error ? error.message : String(error));
  const { code, message } = error;
  if (code === "device_lost") return t("The graphics processor was lost: {why} Reload the page to go on.", { why: message });
  return known(message, code);
}
