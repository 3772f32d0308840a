// OpenAI's own client in the browser, unmodified, pointed at the page: the service worker answers it with the page's engine.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

import { chatty, load, read } from "./engine.mjs";
import { serveFolders } from "./folder.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

/** By browser: these run side by side. */
const servers = {};

/** Opens a page of the site with the client, `openai`, in it; the service worker's scope is `/site/`. */
export async function openPage(page, { packaged, browser }) {
  servers[browser] ??= await serveFolders({ site: [join(packaged, "plain/quire"), here], openai: join(here, "node_modules/openai") });
  await page.goto(`${servers[browser].url}site/blank.html`);
  await page.evaluate(async () => {
    const { default: OpenAI } = await import("/openai/index.mjs");
    const baseURL = new URL("v1", document.baseURI).href;
    window.openai = new OpenAI({ baseURL, apiKey: "none", dangerouslyAllowBrowser: true, maxRetries: 0 });
    window.OpenAI = OpenAI;
    // Its control tokens are kept from ending answers.
    const logit_bias = Object.fromEntries(Array.from({ length: 21 }, (_, n) => [275 + n, -100]));
    window.body = { model: "nano", messages: [{ role: "user", content: "the" }], temperature: 0, max_tokens: 4, logit_bias };
    /** A class of the client's errors, and what OpenAI says of it. */
    window.failure = (promise) =>
      promise.then(
        () => "no error",
        (error) => [Object.entries(OpenAI).find(([, type]) => error.constructor === type)?.[0], error.status, error.type, error.code],
      );
  });
}

/** Another tab of the same browser. */
const another = (tab) => (tab.page.context?.() ?? tab.page.browser()).newPage();

export const tests = {
  async "an engine is served from the page's own origin, and is listed"(tab, options) {
    await openPage(tab, options);
    assert.equal(await tab.evaluate(load, { bytes: chatty(await read("nano/nano.gguf")).toString("base64") }), undefined);
    const found = await tab.evaluate(async () => {
      window.server = await window.engine.serve("service-worker.js");
      const listed = await window.openai.models.list();
      const model = await window.openai.models.retrieve(window.engine.info.name);
      const names = ["file", "openai/File", "FILE.gguf", "Nano"];
      const named = await Promise.all(names.map(async (name) => (await window.openai.models.retrieve(name)).id));
      const absent = await window.failure(window.openai.models.retrieve("absent"));
      return { named, base: window.server.baseURL, ids: listed.data.map(({ id }) => id), name: window.engine.info.name, model: model.id, absent };
    });
    assert.equal(found.base, `${servers[options.browser].url}site/v1`);
    assert.deepEqual(found.ids, [found.name]);
    assert.equal(found.model, found.name);
    assert.deepEqual(found.named, Array(4).fill(found.name), "by the names that requests may give");
    assert.deepEqual(found.absent, ["NotFoundError", 404, "invalid_request_error", "model_not_found"]);
  },

  async "answers come whole and as a stream, the same"(tab) {
    const { whole, text, usage, n, again, tokens, raw, pieces } = await tab.evaluate(async () => {
      const { completions } = window.openai.chat;
      const whole = await completions.create({ ...window.body, logprobs: true, top_logprobs: 2 });
      const [pieces, usages] = [[], []];
      for await (const chunk of await completions.create({ ...window.body, stream: true, stream_options: { include_usage: true } })) {
        pieces.push(chunk.choices[0]?.delta.content ?? "");
        if (chunk.usage) usages.push(chunk.usage);
      }
      const several = async () => (await completions.create({ ...window.body, n: 2, seed: 5, temperature: 1 })).choices.map(({ index, message }) => [index, message.content]);
      const [n, again] = [await several(), await several()];
      const raw = await window.openai.completions.create({ model: "nano", prompt: "the", max_tokens: 3, temperature: 0 });
      const tokens = await window.engine.tokenize({ messages: window.body.messages });
      return { whole, text: pieces.join(""), pieces: pieces.length, usage: usages[0], n, again, tokens: tokens.length, raw };
    });
    assert.equal(whole.choices[0].finish_reason, "length");
    assert.equal(whole.choices[0].logprobs.content[0].top_logprobs.length, 2);
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(usage.completion_tokens, 4);
    assert.equal(usage.prompt_tokens, tokens);
    assert.ok(pieces > 2, "it came at once");
    assert.deepEqual(n.map(([index]) => index), [0, 1]);
    assert.notEqual(n[0][1], n[1][1]);
    assert.deepEqual(again, n);
    assert.ok(raw.choices[0].text.length > 0);
  },

  async "a model is asked by its own name, by its file's, or by none"(tab) {
    const models = await tab.evaluate(async () => {
      const ask = async (model) => (await window.openai.chat.completions.create({ ...window.body, model, max_tokens: 1 })).model;
      return [await ask("nano"), await ask("openai/File"), await ask(undefined)];
    });
    assert.deepEqual(models, ["nano", "nano", "nano"]);
  },

  async "an answer is JSON of its schema"(tab) {
    const { content } = await tab.evaluate(async () => {
      const schema = { type: "object", properties: { sunny: { type: "boolean" } }, required: ["sunny"], additionalProperties: false };
      const response_format = { type: "json_schema", json_schema: { name: "weather", strict: true, schema } };
      const { choices } = await window.openai.chat.completions.create({ ...window.body, logit_bias: {}, max_tokens: 60, response_format });
      return choices[0].message;
    });
    assert.equal(typeof JSON.parse(content).sunny, "boolean", content);
  },

  async "requests wait for each other, and too many are refused"(tab) {
    const found = await tab.evaluate(async () => {
      const { completions } = window.openai.chat;
      const first = await completions.create({ ...window.body, max_tokens: 100_000, stream: true });
      const others = Array.from({ length: 17 }, () => completions.create({ ...window.body, max_tokens: 1 }));
      const refused = await new Promise((resolve) => others.forEach((other) => other.catch(() => resolve(window.failure(other)))));
      first.controller.abort();
      const ends = await Promise.allSettled(others);
      return { refused, answered: ends.filter(({ status }) => status === "fulfilled").length };
    });
    assert.deepEqual(found.refused, ["RateLimitError", 429, "rate_limit_error", "rate_limit_exceeded"]);
    assert.equal(found.answered, 16);
  },

  async "what cannot be asked raises the client's own errors"(tab) {
    const found = await tab.evaluate(async () => {
      const { completions } = window.openai.chat;
      const refused = (change) => window.failure(completions.create({ ...window.body, ...change }));
      return {
        shape: await refused({ messages: "hello" }),
        range: await refused({ temperature: -1 }),
        stream: await refused({ stream: true, n: 99 }),
        schema: await refused({ response_format: { type: "json_schema", json_schema: { name: "none", strict: true, schema: { type: "integer", minimum: 5, maximum: 3 } } } }),
        long: await refused({ messages: [{ role: "user", content: "the ".repeat(5000) }] }),
        method: (await fetch("v1/chat/completions")).status,
        model: await refused({ model: "absent", stream: true }),
        json: await (await fetch("v1/chat/completions", { method: "POST", body: "{" })).json(),
        name: await fetch("v1/models/%zz").then(async (response) => [response.status, (await response.json()).error.code]),
        others: (await fetch("v1/embeddings", { method: "POST", body: "{}" })).headers.get("x-request-id"),
      };
    });
    const invalid = ["BadRequestError", 400, "invalid_request_error", null];
    assert.deepEqual([found.shape, found.range, found.stream, found.schema], [invalid, invalid, invalid, invalid]);
    assert.deepEqual(found.long, ["BadRequestError", 400, "invalid_request_error", "context_length_exceeded"]);
    assert.deepEqual(found.model, ["NotFoundError", 404, "invalid_request_error", "model_not_found"]);
    assert.equal(found.method, 405);
    assert.deepEqual(found.name, [404, "model_not_found"]);
    assert.match(found.json.error.message, /body cannot be read/);
    assert.equal(found.others, null, "what is not the engine's went to the engine");
  },

  async "an answer that is left or aborted makes way"(tab) {
    const found = await tab.evaluate(async () => {
      const { completions } = window.openai.chat;
      /** Seconds until the engine, which refuses while it is busy, takes a request from the page itself. */
      const wait = async () => {
        const begin = performance.now();
        while (performance.now() < begin + 10_000) {
          const code = await window.engine.chat.completions.create({ ...window.body, max_tokens: 1 }).catch(({ code }) => code);
          if (code !== "busy") return (performance.now() - begin) / 1000;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return Infinity;
      };
      const long = { ...window.body, max_tokens: 100_000 };
      const waits = [];
      for await (const _ of await completions.create({ ...long, stream: true })) break;
      waits.push(await wait());

      const stream = await completions.create({ ...long, stream: true });
      await stream[Symbol.asyncIterator]().next();
      stream.controller.abort();
      waits.push(await wait());

      const controller = new AbortController();
      const whole = completions.create(long, { signal: controller.signal });
      const { tokens } = await window.engine.stats();
      const end = performance.now() + 20_000;
      while ((await window.engine.stats()).tokens < tokens + 2 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
      controller.abort();
      const aborted = await window.failure(whole);
      waits.push(await wait());

      const late = await window.failure(completions.create(long, { timeout: 300 }));
      waits.push(await wait());
      return { waits, aborted: aborted[0], late: late[0] };
    });
    assert.deepEqual([found.aborted, found.late], ["APIUserAbortError", "APIConnectionTimeoutError"]);
    assert.ok(Math.max(...found.waits) < 5, found.waits.join());
    return `after ${found.waits.map((seconds) => seconds.toFixed(2)).join(", ")} s`;
  },

};

/** Firefox has no command for it. */
export const stopped = {
  async "the service worker may be stopped in mid-answer: the client is told, the engine is free, the next request is answered"(tab) {
    await tab.evaluate(() => {
      const read = async () => {
        let n = 0;
        try {
          for await (const _ of await window.openai.chat.completions.create({ ...window.body, max_tokens: 100_000, stream: true })) window.read = ++n;
          window.ended = "silently";
        } catch (error) {
          window.ended = error.message;
        }
      };
      void read();
    });
    await tab.until("the stream to begin", () => window.read > 2);
    const session = await tab.page.context().newCDPSession(tab.page);
    await session.send("ServiceWorker.enable");
    await session.send("ServiceWorker.stopAllWorkers");
    const ended = await tab.until("the stream to end", () => window.ended);
    assert.notEqual(ended, "silently");
    const next = await tab.evaluate(async () => (await window.openai.chat.completions.create(window.body)).usage.completion_tokens);
    assert.equal(next, 4);
    return ended;
  },
};

/** After the others: it closes the page that has the engine. */
export const gone = {
  async "a tab without an engine is answered by one that has one, and told when it goes"(tab, options) {
    const other = await another(tab);
    try {
      await openPage(other, options);
      const found = await other.evaluate(async () => {
        const { completions } = window.openai.chat;
        const { usage } = await completions.create(window.body);
        window.stream = await completions.create({ ...window.body, max_tokens: 100_000, stream: true });
        window.parts = window.stream[Symbol.asyncIterator]();
        await window.parts.next();
        return usage.completion_tokens;
      });
      assert.equal(found, 4);
      await tab.goto("about:blank");
      const gone = await other.evaluate(async () => {
        const rest = async () => {
          while (!(await window.parts.next()).done);
        };
        const midway = await window.failure(rest());
        return { midway, after: await window.failure(window.openai.chat.completions.create(window.body)) };
      });
      assert.deepEqual([gone.midway[0], gone.midway[3]], ["APIError", "no_model"]);
      assert.deepEqual(gone.after, ["InternalServerError", 503, "server_error", "no_model"]);
    } finally {
      await other.close();
      await servers[options.browser].stop();
      delete servers[options.browser];
    }
  },
};
