/** Errors as OpenAI's servers tell them, so that its clients raise the right classes. */

import type { ErrorCode } from "./errors.ts";

export interface HttpError {
  status: number;
  /** The body. */
  body: { error: { message: string; type: string; param: null; code: string } };
}

/** 400 is the caller's fault, 429 passes by itself, 503 until there is a model, 500 is ours. */
const statuses: Partial<Record<ErrorCode, number>> = { invalid_request: 400, context_length: 400, busy: 429 };

/** OpenAI's own words where it has some. */
const codes: Partial<Record<ErrorCode, string>> = { context_length: "context_length_exceeded", busy: "rate_limit_exceeded" };

export function httpError(status: number, code: string, message: string): HttpError {
  const type = status === 429 ? "rate_limit_error" : status < 500 ? "invalid_request_error" : "server_error";
  return { status, body: { error: { message, type, param: null, code } } };
}

/** What a call of the engine was rejected with. */
export function asHttpError(error: unknown): HttpError {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const words = typeof message === "string" ? message : String(error);
  if (typeof code !== "string") return httpError(500, "internal", words);
  return httpError(statuses[code as ErrorCode] ?? 500, codes[code as ErrorCode] ?? code, words);
}
