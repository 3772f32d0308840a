/** The part of OpenAI's chat API that Quire speaks, and what it says of itself. */

export type Role = "system" | "developer" | "user" | "assistant" | "tool";

export interface ToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

export interface Message {
  role: Role;
  content: string | null;
  /** The model's reasoning before its answer. */
  reasoning?: string;
  name?: string;
  tool_calls?: ToolCall[];
  tool_call_id?: string;
}

export interface Tool {
  type: "function";
  function: { name: string; description?: string; parameters?: object };
}

export interface ChatRequest {
  messages: Message[];
  model?: string;
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  max_tokens?: number;
  max_completion_tokens?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  seed?: number;
  stop?: string | string[];
  frequency_penalty?: number;
  presence_penalty?: number;
  repetition_penalty?: number;
  logit_bias?: Record<string, number>;
  logprobs?: boolean;
  top_logprobs?: number;
  reasoning_effort?: "low" | "medium" | "high";
  tools?: Tool[];
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: number;
    delta: {
      role?: Role;
      content?: string | null;
      reasoning?: string | null;
      tool_calls?: (Partial<ToolCall> & { index: number })[];
    };
    finish_reason: FinishReason | null;
  }[];
  usage?: Usage | null;
}

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: { index: number; message: Message; finish_reason: FinishReason }[];
  usage?: Usage;
}

/** How far loading is. `loaded` and `total` are bytes. */
export interface Progress {
  phase: string;
  loaded: number;
  total: number;
}

export interface EngineInfo {
  name: string;
  architecture: string;
  adapter: string;
  /** Tokens. */
  contextLength: number;
  /** Size of the model. */
  bytes: number;
  /** Where what comes over the network is kept. */
  cache: Exclude<CacheHome, "auto">;
}

/** What a model has cost since it was opened. Names as in OpenAI's usage; the same numbers as the terminal's. */
export interface Stats {
  /** Bytes that came over the network; of a file on this machine, what was read. */
  bytes_fetched: number;
  /** Requests that failed or broke off, and were sent again. */
  retries: number;
  bytes_header: number;
  bytes_dense: number;
  bytes_experts: number;
  /** Different (layer, expert) that tokens used. */
  experts_touched: number;
  /** Bytes of one expert in one layer. */
  bytes_per_expert: number;
  /** Experts that were on the GPU when a token asked for them. */
  hits: number;
  misses: number;
  /** Runs over the layers, or over some of them after a miss. */
  passes: number;
  /** Places for experts on the GPU, a layer. */
  slots: number;
  dispatches: number;
  bind_groups: number;
  /** By the host, into the GPU's buffers. */
  bytes_written: number;
  /** By the host, of the GPU's buffers. */
  bytes_read: number;
  readbacks: number;
}

/**
 * Where files are kept: Blobs in IndexedDB, the browser's private files (OPFS), nowhere, or the place that reads faster.
 * What is kept in one place already is found whichever is chosen.
 */
export type CacheHome = "auto" | "indexeddb" | "opfs" | "none";

/** One version of a file, all or parts of it kept. */
export interface CachedFile {
  url: string;
  /** Bytes of the whole file. */
  size: number;
  /** Bytes of it that are kept. */
  kept: number;
  /** What the server tells versions by: an ETag or a date. */
  tag: string | null;
}

/** What checking a file found. */
export interface Verified {
  chunks: number;
  /** Bytes that are kept and good. */
  bytes: number;
  /** Chunks that were damaged; they are forgotten, and fetched again when they are needed. */
  badChunks: number;
  /** Of the whole file, if all of it is kept and good; of a set of shards, none. */
  sha256: string | null;
}

/** What the browser allows this page's origin, in bytes, as far as it says. */
export interface CacheEstimate {
  usage: number;
  quota: number;
  /** Whether the browser has promised not to clear it by itself. */
  persisted: boolean;
  /** What `auto` chooses here; `null` if nothing can be kept. */
  home: "indexeddb" | "opfs" | null;
  /** Bytes per second of reading, as measured at the first use; `null` where nothing can be kept. */
  rates: { indexeddb: number | null; opfs: number | null };
}

export interface CacheOptions {
  onProgress?: (progress: { loaded: number; total: number }) => void;
  signal?: AbortSignal;
}
