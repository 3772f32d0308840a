/** Errors as OpenAI's servers tell them, for what does not come as far as the engine, which tells its own. */

export interface HttpError {
  status: number;
  /** JSON of `{ error }`. */
  body: string;
}

export function httpError(status: number, code: string, message: string): HttpError {
  const type = status < 500 ? "invalid_request_error" : "server_error";
  return { status, body: JSON.stringify({ error: { message, type, param: null, code } }) };
}
