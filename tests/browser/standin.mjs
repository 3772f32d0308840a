// The page as it is served, but for the engine: in the place of worker.js stands standin-worker.js, which speaks its
// messages and says what it is told to. What the page does around a model is so tested without one.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";

import { browsers } from "./browsers.mjs";

const config = { model: "models/standin.gguf", models: [{ title: "Stand-in", about: "Says what it is told to", url: "models/standin.gguf" }] };

/**
 * Serves the page at `url` anew; resolves to `{ url, asked, own, stop }`: `asked` are the paths that were asked for, `own` by path the
 * type and the body of what is other than at `url`.
 */
async function serve(url) {
  const asked = [];
  const own = {
    "/worker.js": ["text/javascript", await readFile(new URL("standin-worker.js", import.meta.url))],
    "/config.json": ["application/json", JSON.stringify(config)],
  };
  const server = createServer((incoming, answer) => {
    const path = incoming.url.split("?")[0];
    asked.push(path);
    if (own[path]) {
      const [type, body] = own[path];
      answer.writeHead(200, { "content-type": type, "cache-control": "no-store" }).end(body);
      return;
    }
    const passed = request(new URL(incoming.url, url), (from) => {
      answer.writeHead(from.statusCode, from.headers);
      from.pipe(answer);
    });
    passed.on("error", () => answer.writeHead(502).end());
    passed.end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://localhost:${server.address().port}/`, asked, own, stop };
}

/** A browser's tab at the page with the stand-in; `tab.standin` is its server. */
export async function openStandin({ browser, webgpu }) {
  const standin = await serve(process.env.QUIRE_URL);
  const { tab, close } = await browsers[browser].open({ webgpu });
  tab.standin = standin;
  // Nothing is slow here.
  tab.page.setDefaultTimeout(10_000);
  return { tab, close: () => close().finally(standin.stop) };
}
