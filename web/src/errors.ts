/** What went wrong, for programs; `message` says it for people. */
export type ErrorCode =
  | "no_webgpu"
  | "device_lost"
  | "out_of_memory"
  | "network"
  | "integrity"
  | "quota"
  | "format"
  | "unsupported"
  | "context_length"
  | "busy"
  | "invalid_request"
  | "internal";

/** Every failure of this package, except aborts, which are a `DOMException` named `AbortError`. */
export class QuireError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = "QuireError";
    this.code = code;
  }
}

/** What an aborted call rejects with: the signal's own reason if it is an `AbortError`, else a new one. */
export function abortError(signal?: AbortSignal): DOMException {
  const reason: unknown = signal?.reason;
  if (reason instanceof DOMException && reason.name === "AbortError") return reason;
  return new DOMException("The call was aborted.", "AbortError");
}
