/** The engine of a page that comes from `quire serve`: the server, by its own API. */

import { type CallOptions, type ChatCompletionChunk, type ChatRequest, QuireError, type Stats } from "../src/index.ts";
import { toJson } from "../src/json.ts";
import { t } from "./language.ts";

/** What the page asks of an engine to talk with it. */
export interface Talker {
  chat: { completions: { create(body: ChatRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<ChatCompletionChunk>> } };
}

/** How a model stands. A server says of itself whether it keeps the model's files, and what it has to do; an engine in this page, its memory. */
export type Standing = Omit<Stats, "bytes_wasm"> & { keeps?: boolean; requests?: { in_hand: number; waiting: number } };

/** The server as an engine. */
export interface Server extends Talker {
  /** What its model is called. */
  model: string;
  stats(): Promise<Standing>;
}

/** What the server says of a request that it does not answer, where it is for the page to do something about it. */
export class Refusal extends Error {
  /** Of HTTP. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Rejects with a {@link Refusal} of status 401 if the server wants another `key`. */
export async function connect(key: string): Promise<Server> {
  const listed = (await (await ask("v1/models", key)).json()) as { data: { id: string }[] };
  const create = async (body: ChatRequest, { signal }: CallOptions = {}) =>
    chunks(await ask("v1/chat/completions", key, { method: "POST", body: toJson(body), ...(signal && { signal }) }));
  const stats = async () => (await (await ask("stats", key)).json()) as Standing;
  return { model: listed.data[0]?.id ?? "", chat: { completions: { create } }, stats };
}

async function ask(path: string, key: string, request: RequestInit = {}): Promise<Response> {
  const headers: Record<string, string> = request.body ? { "content-type": "application/json" } : {};
  if (key) headers["authorization"] = `Bearer ${key}`;
  const answer = await fetch(new URL(path, document.baseURI), { ...request, headers }).catch(gone);
  if (answer.ok) return answer;
  const { error } = (await answer.json().catch(() => ({}))) as { error?: { message: string; code?: string | null } };
  throw trouble(answer.status, error?.message ?? `${answer.status} ${answer.statusText}`, error?.code);
}

/** Why the server does not answer, as an engine in this page would put it where it can come to that. */
function trouble(status: number, why: string, code?: string | null): Error {
  if (code === "context_length_exceeded") return new QuireError("context_length", why);
  if (status === 401) return new Refusal(status, why);
  if (status === 403) return new Error(t("The server does not let this page ask: {why}", { why }));
  if (status === 429) return new Error(t("The server is busy. Try again later."));
  return new QuireError(status < 500 ? "invalid_request" : "internal", why);
}

/** What a fetch was rejected with, in words unless it is an abort. */
function gone(error: unknown): never {
  throw error instanceof DOMException && error.name === "AbortError" ? error : new Error(t("The server does not answer."));
}

/** The chunks of a stream of server-sent events. Leaving the loop early ends the answer. */
async function* chunks({ body }: Response): AsyncGenerator<ChatCompletionChunk> {
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(gone);
      // One that breaks off has no end.
      if (done) return gone(undefined);
      const events = (rest + value).split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (data === "[DONE]") return;
        if (data === undefined) continue;
        const said = JSON.parse(data) as ChatCompletionChunk & { error?: { message: string; code?: string | null } };
        if (said.error) throw trouble(500, said.error.message, said.error.code);
        yield said;
      }
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

const KEY = "quire-key";

/** The key that this server was last opened with. */
export function lastKey(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // storage is forbidden
  }
}

/** Keeps a key for the next visit; none is kept where there is none. */
export function rememberKey(key: string): void {
  try {
    if (key === "") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, key);
  } catch {
    // It is asked for again at the next visit.
  }
}
