/** The page's engine where that is a server, against answers that the test makes up. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { words } from "../page/answer.ts";
import { speak } from "../page/language.ts";
import { connect, Refusal } from "../page/served.ts";

const scope = globalThis as Record<string, unknown>;
const messages = [{ role: "user" as const, content: "hello" }];
let asked: { path: string; headers: Record<string, string>; body?: string }[] = [];
let answers: (Response | Error)[] = [];

beforeEach(() => {
  scope["document"] = { baseURI: "https://server.example/" };
  asked = [];
  answers = [Response.json({ data: [{ id: "parrot" }] })];
  scope["fetch"] = async (url: URL, { headers, body, signal }: RequestInit) => {
    asked.push({ path: url.pathname, headers: headers as Record<string, string>, ...(body && { body: body as string }) });
    signal?.throwIfAborted();
    const answer = answers.shift();
    if (answer instanceof Response) return answer;
    throw answer ?? new TypeError("failed to fetch");
  };
});

const delta = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`;

/** An answer of these bytes; `closed` tells that its reader has left. */
function stream(pieces: Uint8Array[], isOpen = false) {
  let closed = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      if (!isOpen) controller.close();
    },
    cancel: () => void (closed = true),
  });
  return { answer: new Response(body, { headers: { "content-type": "text/event-stream" } }), isClosed: () => closed };
}

/** Of any length, wherever it ends. */
function cut(text: string, size: number): Uint8Array[] {
  const bytes = new TextEncoder().encode(text);
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.slice(at * size, (at + 1) * size));
}

async function said(request: { signal?: AbortSignal } = {}): Promise<string> {
  const { chat } = await connect("s3cret");
  let text = "";
  for await (const { choices } of await chat.completions.create({ messages, stream: true }, request)) text += choices[0]?.delta.content ?? "";
  return text;
}

test("chunks come whole, however the bytes are cut, and comments between them are none", async () => {
  for (const size of [1, 2, 7, 1000]) {
    answers = [Response.json({ data: [{ id: "parrot" }] }), stream(cut(`:\n\n${delta("量子")}:\n\n${delta("纠缠")}data: [DONE]\n\n`, size)).answer];
    assert.equal(await said(), "量子纠缠", `${size} bytes`);
  }
  const { path, headers, body } = asked[1]!;
  assert.deepEqual([path, headers], ["/v1/chat/completions", { "content-type": "application/json", authorization: "Bearer s3cret" }]);
  assert.deepEqual(JSON.parse(body!), { messages, stream: true });
});

test("what is refused is told in the server's words", async () => {
  answers = [Response.json({ error: { message: "the API key is missing or wrong" } }, { status: 401 })];
  await assert.rejects(connect(""), (error) => error instanceof Refusal && error.status === 401 && /key is missing/.test(error.message));
  assert.deepEqual(asked[0]!.headers, {});
  answers = [new Response("<html>", { status: 502, statusText: "Bad Gateway" })];
  await assert.rejects(connect(""), { message: "502 Bad Gateway" });
});

test("a conversation that does not fit into the context is refused as by an engine", async () => {
  answers.push(Response.json({ error: { message: "the prompt is long", code: "context_length_exceeded" } }, { status: 400 }));
  await assert.rejects(said(), { name: "QuireError", code: "context_length", message: "the prompt is long" });
});

test("each refusal is told in the person's language, what the server alone can say behind it", async () => {
  const refusals: [status: number, message: string, code: string | null, english: string, chinese: string][] = [
    [400, "n must be 1 to 16", null, "n must be 1 to 16", "请求无效（n must be 1 to 16）"],
    [401, "the API key is missing or wrong", "invalid_api_key", "the API key is missing or wrong", "密钥缺失或不正确"],
    [403, "pages of x are not let in", null, "The server does not let this page ask: pages of x are not let in", "服务器不允许这个页面提问：pages of x are not let in"],
    [429, "8 requests are in hand, and no more are taken; try again later", "rate_limit_exceeded", "The server is busy. Try again later.", "服务器正忙，请稍后再试。"],
    [500, "the GPU burns", "internal", "the GPU burns", "引擎内部出错（the GPU burns）"],
    [503, "the model is being loaded", "unavailable", "the model is being loaded", "服务器正在加载模型"],
    [503, "the server is being stopped", "unavailable", "the server is being stopped", "服务器正在停止"],
    [503, "the model has gone", "unavailable", "the model has gone", "服务器的模型已停止"],
  ];
  scope["document"] = { ...(scope["document"] as object), documentElement: { dataset: {} } };
  for (const language of ["en", "zh"] as const) {
    await speak(language);
    for (const [status, message, code, english, chinese] of refusals) {
      answers = [Response.json({ data: [] }), Response.json({ error: { message, code } }, { status })];
      const told = await said().then(String, words);
      assert.equal(told, language === "en" ? english : chinese);
      // Once an answer has begun there is no status any more.
      if (status < 500) continue;
      answers = [Response.json({ data: [] }), stream(cut(`data: ${JSON.stringify({ error: { message, code } })}\n\n`, 9)).answer];
      assert.equal(await said().then(String, words), told);
    }
  }
  await speak("en");
});

test("an answer that fails or breaks off midway is no whole one", async () => {
  const failed = `event: error\ndata: ${JSON.stringify({ type: "error", error: { message: "the GPU burns" } })}\n\n`;
  answers.push(stream(cut(delta("a") + failed, 9)).answer);
  await assert.rejects(said(), { message: "the GPU burns" });
  answers = [Response.json({ data: [] }), stream(cut(delta("a"), 9)).answer];
  await assert.rejects(said(), { message: "The server does not answer." });
  answers = [];
  await assert.rejects(said(), { message: "The server does not answer." });
});

test("leaving the loop ends the answer, and an abort stays one", async () => {
  const { answer, isClosed } = stream(cut(delta("a"), 1000), true);
  answers.push(answer, Response.json({ data: [] }));
  const { chat } = await connect("");
  for await (const _ of await chat.completions.create({ messages, stream: true })) break;
  await new Promise((resolve) => setTimeout(resolve));
  assert.ok(isClosed());
  await assert.rejects(said({ signal: AbortSignal.abort() }), { name: "AbortError" });
});
