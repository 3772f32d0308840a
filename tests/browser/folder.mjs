// A server of folders, each below a name of its own, for the page's own origin and for others.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, extname, join, normalize } from "node:path";

const types = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
};

/**
 * Serves `folders`, by name; of several that share one the first that has a file. Files are sent whole, whatever range is asked for; none
 * whose name is in `absent`.
 */
export async function serveFolders(folders) {
  const asked = [];
  const absent = new Set();
  const server = createServer(async (request, answer) => {
    const [, name, ...rest] = decodeURIComponent(new URL(request.url, "http://x").pathname).split("/");
    const path = normalize(rest.join("/") || "index.html");
    const file = path.endsWith("/") ? `${path}index.html` : path;
    let bytes;
    asked.push(basename(file));
    if (!path.startsWith("..") && !absent.has(basename(file))) {
      for (const folder of [folders[name] ?? []].flat()) bytes ??= await readFile(join(folder, file)).catch(() => undefined);
    }
    answer.setHeader("Access-Control-Allow-Origin", "*");
    answer.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
    answer.setHeader("Content-Length", bytes?.length ?? 0);
    answer.writeHead(bytes ? 200 : 404).end(request.method === "HEAD" ? undefined : bytes);
  });
  server.listen(0);
  await once(server, "listening");
  const { port } = server.address();
  return {
    /** The same port by two names: two origins. */
    url: `http://localhost:${port}/`,
    elsewhere: `http://127.0.0.1:${port}/`,
    /** Names of files, in the order in which they were asked for. */
    asked,
    absent,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
