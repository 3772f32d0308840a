/** Chunks pushed by the worker, pulled by a `for await`. */

import { abortError } from "./errors.ts";

type Start = (onPart: (json: string) => void, signal: AbortSignal) => Promise<unknown>;

/**
 * Starts a call and resolves once it has begun to answer, so that a refused request rejects here, not in the loop; `read` makes a chunk of
 * each part. Leaving the loop early stops the call.
 */
export async function createStream<Chunk>(
  start: Start,
  read: (json: string) => Chunk,
  signal?: AbortSignal,
): Promise<AsyncIterable<Chunk>> {
  if (signal?.aborted) throw abortError(signal);
  const controller = new AbortController();
  const forward = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", forward, { once: true });

  const chunks: Chunk[] = [];
  let end: { error?: unknown } | undefined;
  let wake = () => {};
  const news = () => new Promise<void>((resolve) => (wake = resolve));

  start((json) => {
    chunks.push(read(json));
    wake();
  }, controller.signal)
    .then(
      () => (end = {}),
      (error: unknown) => (end = { error }),
    )
    .finally(() => {
      signal?.removeEventListener("abort", forward);
      wake();
    });

  while (chunks.length === 0 && !end) await news();
  if (end && "error" in end && chunks.length === 0) throw end.error;

  const stream = (async function* () {
    try {
      for (;;) {
        const chunk = chunks.shift();
        if (chunk) yield chunk;
        else if (!end) await news();
        else if ("error" in end) throw end.error;
        else return;
      }
    } finally {
      if (!end) controller.abort();
    }
  })();
  // One that nobody has begun to read would end without its `finally`.
  const leave = stream.return.bind(stream);
  stream.return = (value) => {
    if (!end) controller.abort();
    return leave(value);
  };
  return stream;
}
