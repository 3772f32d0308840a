/** The engine of a page that comes from `quire serve`: the server, by its own API. */

import type { CallOptions, ChatCompletionChunk, ChatRequest } from "../src/index.ts";
import { t } from "./language.ts";

/** What the page asks of an engine to talk with it. */
export interface Talker {
  chat: { completions: { create(body: ChatRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<ChatCompletionChunk>> } };
}

/** What the server says of a request that it does not answer. */
export class Refusal extends Error {
  /** Of HTTP. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The server as an engine, and what its model is called. Rejects with a {@link Refusal} of status 401 if it wants another `key`. */
export async function connect(key: string): Promise<Talker & { model: string }> {
  const listed = (await (await ask("models", key)).json()) as { data: { id: string }[] };
  const create = async (body: ChatRequest, { signal }: CallOptions = {}) =>
    chunks(await ask("chat/completions", key, { method: "POST", body: JSON.stringify(body), ...(signal && { signal }) }));
  return { model: listed.data[0]?.id ?? "", chat: { completions: { create } } };
}

async function ask(path: string, key: string, request: RequestInit = {}): Promise<Response> {
  const headers: Record<string, string> = request.body ? { "content-type": "application/json" } : {};
  if (key) headers["authorization"] = `Bearer ${key}`;
  const answer = await fetch(new URL(`v1/${path}`, document.baseURI), { ...request, headers }).catch(gone);
  if (answer.ok) return answer;
  const { error } = (await answer.json().catch(() => ({}))) as { error?: { message: string } };
  throw new Refusal(answer.status, error?.message ?? `${answer.status} ${answer.statusText}`);
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
        const said = JSON.parse(data) as ChatCompletionChunk & { error?: { message: string } };
        if (said.error) throw new Error(said.error.message);
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

export function rememberKey(key: string): void {
  try {
    localStorage.setItem(KEY, key);
  } catch {
    // It is asked for again at the next visit.
  }
}
