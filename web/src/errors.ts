/** What went wrong, for programs; `message` says it for people. */
export type ErrorCode =
  /** There is no GPU to run on. */
  | "no_webgpu"
  /** The GPU was lost, and no other could be had. */
  | "device_lost"
  /** The model does not fit, or not under the budget that was given. */
  | "out_of_memory"
  /** Bytes could not be fetched. */
  | "network"
  /** They are not those that were announced or came before. */
  | "integrity"
  /** The browser's storage is full. */
  | "quota"
  /** The file is no GGUF, or a damaged one. */
  | "format"
  /** It is one that cannot be run, or this browser cannot do what was asked. */
  | "unsupported"
  /** The conversation does not fit into the context. */
  | "context_length"
  /** The engine is answering another request, or the file is being imported. */
  | "busy"
  /** What was asked cannot be asked. */
  | "invalid_request"
  /** A bug. */
  | "internal";

/** Every failure of this package, except aborts, which are a `DOMException` named `AbortError`. */
export class QuireError extends Error {
  /** What to decide by. */
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
