// A server of one made-up file for other origins: ranges, as fast as it is told, and what it sent.

import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";

/** Bytes of which no two stretches are alike. */
export function makeUp(size, seed = 1) {
  const words = new Uint32Array(size / 4);
  let state = seed;
  for (let i = 0; i < words.length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return Buffer.from(words.buffer);
}

/** Bytes that are given to a connection at once. */
const PIECE = 64 << 10;

export class Server {
  /** Bytes of bodies, sent or on their way, but for requests of one byte, which ask for the size. */
  sent = 0;
  /** Bytes a second, over all connections. */
  bandwidth = Infinity;
  /** Who has not got it is answered 401. */
  token;
  /** Whether a page may see `Content-Range` and `ETag`. */
  showsHeaders = true;
  /** Whether `HEAD` is answered. */
  knowsHead = true;
  #http;
  /** Requests so far, and those of which nothing more comes. */
  #asked = 0;
  #silent = 0;
  #free = 0;
  #progress = new EventEmitter();

  /** Serves `file`, a buffer, at any path. */
  static async start(file, tag = '"1"') {
    const server = new Server();
    server.file = file;
    server.tag = tag;
    server.#http = createServer((request, answer) => server.#answer(request, answer).catch(() => answer.destroy()));
    server.#http.listen(0, "127.0.0.1");
    await once(server.#http, "listening");
    server.url = `http://127.0.0.1:${server.#http.address().port}/`;
    return server;
  }

  /** Waits until so many bytes are sent. */
  async hasSent(bytes) {
    while (this.sent < bytes) await once(this.#progress, "sent");
  }

  /** Leaves the answers under way as they are, unfinished; others are given. */
  fallSilent() {
    this.#silent = this.#asked;
  }

  async stop() {
    if (!this.#http.listening) return;
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, "close");
  }

  async #answer(request, answer) {
    const number = (this.#asked += 1);
    answer.setHeader("Access-Control-Allow-Origin", "*");
    answer.setHeader("Access-Control-Allow-Headers", "Range, Authorization");
    if (this.showsHeaders) answer.setHeader("Access-Control-Expose-Headers", "Content-Range, ETag");
    answer.setHeader("ETag", this.tag);
    if (request.method === "OPTIONS") {
      answer.writeHead(204).end();
      return;
    }
    if (request.method === "HEAD" && !this.knowsHead) {
      answer.writeHead(405).end();
      return;
    }
    if (this.token && request.headers.authorization !== `Bearer ${this.token}`) {
      answer.writeHead(401).end();
      return;
    }
    const { length } = this.file;
    const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const [start, end] = asked ? [Number(asked[1]), Math.min(Number(asked[2] || length - 1) + 1, length)] : [0, length];
    answer.setHeader("Content-Length", end - start);
    if (asked) answer.setHeader("Content-Range", `bytes ${start}-${end - 1}/${length}`);
    answer.writeHead(asked ? 206 : 200);
    if (request.method !== "GET") {
      answer.end();
      return;
    }
    for (let at = start; at < end && !answer.destroyed; at += PIECE) {
      const piece = this.file.subarray(at, Math.min(end, at + PIECE));
      await this.#turn(piece.length);
      if (answer.destroyed || number <= this.#silent) return;
      if (end - start > 1) {
        this.sent += piece.length;
        this.#progress.emit("sent");
      }
      if (!answer.write(piece)) await this.#drained(answer);
    }
    answer.end();
  }

  async #drained(answer) {
    const controller = new AbortController();
    const { signal } = controller;
    await Promise.race([once(answer, "drain", { signal }), once(answer, "close", { signal })]).finally(() => controller.abort());
  }

  /** Waits until `bytes` may be sent. */
  async #turn(bytes) {
    const now = performance.now();
    const begin = Math.max(now, this.#free);
    this.#free = begin + (bytes / this.bandwidth) * 1000;
    if (begin > now) await new Promise((resolve) => setTimeout(resolve, begin - now));
  }
}
