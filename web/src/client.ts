/** The page's side of the worker: calls with ids, parts, aborts. */

import { abortError, type ErrorCode, QuireError } from "./errors.ts";
import type { Calls, FromWorker, Op, ToWorker } from "./messages.ts";

interface Pending {
  onPart: (json: string) => void;
  resolve: (result: never) => void;
  reject: (reason: Error) => void;
}

export class Client {
  #worker: Worker;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #dead: QuireError | undefined;
  #onWarning: (warning: QuireError) => void;

  constructor(worker: Worker, onWarning: (warning: QuireError) => void = () => {}) {
    this.#worker = worker;
    this.#onWarning = onWarning;
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => this.#receive(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      // A script that did not load says nothing; one that broke says what.
      this.#end(
        event.message
          ? new QuireError("internal", `The engine stopped: ${event.message}`)
          : new QuireError("network", "The engine's worker script could not be loaded."),
      );
    });
  }

  /** Sends one call. Aborting rejects at once and tells the worker to stop. */
  call<K extends Op>(
    op: K,
    args: Calls[K]["args"],
    onPart: (json: string) => void = () => {},
    signal?: AbortSignal,
  ): Promise<Calls[K]["result"]> {
    if (this.#dead) return Promise.reject(this.#dead);
    if (signal?.aborted) return Promise.reject(abortError(signal));
    const id = this.#nextId++;
    return new Promise<Calls[K]["result"]>((resolve, reject) => {
      const abort = () => {
        this.#send({ id, op: "abort" });
        this.#pending.delete(id);
        reject(abortError(signal));
      };
      signal?.addEventListener("abort", abort, { once: true });
      const settle = <A extends unknown[]>(then: (...args: A) => void) => (...args: A) => {
        signal?.removeEventListener("abort", abort);
        then(...args);
      };
      this.#pending.set(id, { onPart, resolve: settle(resolve), reject: settle(reject) });
      this.#send({ id, op, ...args } as ToWorker);
    });
  }

  /** Ends the worker; calls under way are aborted. */
  terminate(): void {
    this.#end(new QuireError("invalid_request", "The engine was unloaded."), abortError());
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(answer: FromWorker): void {
    if (answer.kind === "warning") {
      const { code, message } = JSON.parse(answer.json) as { code: ErrorCode; message: string };
      this.#onWarning(new QuireError(code, message));
      return;
    }
    const pending = this.#pending.get(answer.id);
    if (!pending) return; // aborted here, still ending there
    if (answer.kind === "part") {
      pending.onPart(answer.json);
      return;
    }
    this.#pending.delete(answer.id);
    if (answer.kind === "done") pending.resolve(answer.result as never);
    else if (answer.code === "aborted") pending.reject(abortError());
    else pending.reject(new QuireError(answer.code, answer.message));
  }

  #end(dead: QuireError, reason: Error = dead): void {
    this.#dead ??= dead;
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
  }
}
