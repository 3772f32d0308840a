/** The part of OpenAI's chat API that Quire speaks, and what it says of itself. */

/** Who speaks. `developer` is the newer word for `system`; `tool` answers a call. */
export type Role = "system" | "developer" | "user" | "assistant" | "tool";

/** A function that the model asks to be called. */
export interface ToolCall {
  /** What the answer to it, a message of role `tool`, gives as `tool_call_id`. */
  id: string;
  type: "function";
  /** `arguments` is JSON, as the model wrote it. */
  function: { name: string; arguments: string };
}

/** A part of a message's content; parts are joined. */
export interface TextPart {
  type: "text";
  text: string;
}

/** One turn of a conversation. */
export interface Message {
  role: Role;
  content: string | null;
  /** The model's reasoning before its answer. */
  reasoning?: string;
  name?: string;
  /** Of the assistant: what it asked to be called. */
  tool_calls?: ToolCall[];
  /** Of a tool: which call this answers. */
  tool_call_id?: string;
}

/**
 * A turn as a request may say it. OpenAI's clients have more ways, all of which its types let through; what no model here understands
 * (pictures, sound, files, calls that are not of functions) is refused in words.
 */
export interface RequestMessage extends Omit<Message, "role" | "content" | "tool_calls"> {
  role: Role | "function";
  content?: string | (TextPart | { type: "refusal" | "image_url" | "input_audio" | "file" })[] | null;
  tool_calls?: (ToolCall | { type: "custom" })[];
}

/** The model's turn. */
export interface Answer {
  role: "assistant";
  /** `null` if it only called tools. */
  content: string | null;
  /** As OpenAI's clients expect it: what a model refuses it refuses in its content. */
  refusal: null;
  /** The model's reasoning before its answer. */
  reasoning?: string;
  tool_calls?: ToolCall[];
}

/** A function that the model may ask for; `parameters` is a JSON schema. */
export interface Tool {
  type: "function";
  /** Calls keep to `parameters` if `strict`. */
  function: { name: string; description?: string; parameters?: object; strict?: boolean | null };
}

/** What every request may say of sampling and length. */
export interface Sampling {
  /** Not read: an engine has one model. */
  model?: string;
  stream?: boolean | null;
  /** Whether a last chunk without choices tells the usage. */
  stream_options?: { include_usage?: boolean } | null;
  /** The older word for `max_completion_tokens`. */
  max_tokens?: number | null;
  /** Tokens of each answer at most, its reasoning included; by default a chat takes what the context has room for, and a text 16. */
  max_completion_tokens?: number | null;
  /** 0 takes the likeliest token each time; by default 1. */
  temperature?: number | null;
  /** Only the likeliest tokens that together are as probable as this: 0 is the likeliest one alone; by default 1, all of them. */
  top_p?: number | null;
  /** Only so many of the likeliest tokens; by default 0, all of them. An addition to OpenAI's fields, as `min_p` is. */
  top_k?: number | null;
  /** Only tokens at least so probable, as a part of the likeliest's probability; by default 0. */
  min_p?: number | null;
  /** The same seed and request give the same answer. */
  seed?: number | null;
  /** Where an answer ends; the text itself is left out. */
  stop?: string | string[] | null;
  /** Taken off a token's score for each time it was said; by default 0. */
  frequency_penalty?: number | null;
  /** Taken off a token's score if it was said; by default 0. */
  presence_penalty?: number | null;
  /** Divides the scores of tokens that were said; by default 1. An addition to OpenAI's fields. */
  repetition_penalty?: number | null;
  /** Token id to what is added to its score. */
  logit_bias?: Record<string, number> | null;
  /** How many answers; 1 where it is absent. */
  n?: number | null;
  /** What the answer must look like: any text, any JSON object, or JSON of a schema. */
  response_format?: ResponseFormat;
  /** What the answer must look like, in llguidance's variant of Lark. An addition to OpenAI's fields. */
  grammar?: string;
}

/** What an answer must look like. */
export type ResponseFormat =
  | { type: "text" }
  | { type: "json_object" }
  /** Without its `schema` it is refused in words. `strict` or not, the answer keeps to it. */
  | { type: "json_schema"; json_schema: { name: string; description?: string; schema?: object; strict?: boolean | null } };

/** Whether tools are called: as the model likes, not at all, one of them, or this one. OpenAI's other ways are refused in words. */
export type ToolChoice = "auto" | "none" | "required" | { type: "function"; function: { name: string } } | { type: "custom" | "allowed_tools" };

/**
 * How long the model thinks first, if it is one that does; by default `medium`. Of OpenAI's other values, `none` and `minimal` are taken as
 * `low`, `xhigh` and `max` as `high`.
 */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max";

/** What {@link Completions.create} takes, as OpenAI has it. */
export interface ChatRequest extends Sampling {
  messages: RequestMessage[];
  /** Whether each token of the content comes with its log probability. */
  logprobs?: boolean | null;
  /** Likeliest tokens to report beside each one, 0 to 20. */
  top_logprobs?: number | null;
  reasoning_effort?: ReasoningEffort | null;
  /** Others than functions are refused in words. */
  tools?: (Tool | { type: "custom" })[];
  /** Whether the last message, the assistant's, was only begun: the answer is what follows it. An addition, by vLLM's name. */
  continue_final_message?: boolean;
  /** A call that is required can be asked of models that speak Harmony. */
  tool_choice?: ToolChoice;
}

/** Why an answer ended: by itself or at `stop`, for want of room, or with calls. */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** Tokens of a request and all its answers. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** `cached_tokens` of the prompt were kept from the turn before. */
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details?: { reasoning_tokens: number };
}

/** How fast it went; an addition to OpenAI's fields. */
export interface Timings {
  /** Seconds until the first token. */
  prefill_seconds: number;
  /** Tokens a second of the prompt, without those kept. */
  prefill_tps: number;
  /** Tokens a second after the first. */
  decode_tps: number;
}

/** A token and how probable it was. */
export interface TokenLogprob {
  /** Its text; where it is a part of a character, U+FFFD. */
  token: string;
  /** Natural logarithm. */
  logprob: number;
  /** UTF-8 */
  bytes: number[];
}

/** Of each token of the content; `top_logprobs` are the likeliest, as many as were asked for. */
export interface Logprobs {
  content: (TokenLogprob & { top_logprobs: TokenLogprob[] })[];
  /** Of {@link Answer.refusal}. */
  refusal: null;
}

/** A part of an answer. Of `n` answers one comes after the other. */
export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  /** Seconds since 1970. */
  created: number;
  /** As its file calls it. */
  model: string;
  choices: {
    index: number;
    /** What is new of the message. */
    delta: {
      role?: "assistant";
      content?: string;
      reasoning?: string;
      /** The first part of a call has its `id` and name; `arguments` are to be joined, by `index`. */
      tool_calls?: { index: number; id?: string; type?: "function"; function: { name?: string; arguments: string } }[];
    };
    logprobs?: Logprobs;
    finish_reason: FinishReason | null;
  }[];
  usage?: Usage;
  timings?: Timings;
}

/** A whole answer, or all `n`. */
export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  /** Seconds since 1970. */
  created: number;
  /** As its file calls it. */
  model: string;
  choices: { index: number; message: Answer; logprobs: Logprobs | null; finish_reason: FinishReason }[];
  usage: Usage;
  timings: Timings;
}

/** What {@link TextCompletions.create} takes, as OpenAI has it. */
export interface CompletionRequest extends Sampling {
  /** Text, or token ids that are fed as they are; or several of either, whose texts come one prompt after the other, `n` of each. */
  prompt: string | number[] | string[] | number[][];
  /** Likeliest tokens to report beside each one, 0 to 20. */
  logprobs?: number | null;
}

/** A text, or a part of one as it streams. */
export interface TextChoice {
  index: number;
  text: string;
  logprobs: {
    /** An addition to OpenAI's fields. */
    ids: number[];
    tokens: string[];
    token_logprobs: number[];
    top_logprobs: Record<string, number>[];
    /** Where each token begins, in characters (Unicode's code points) from the prompt's start. */
    text_offset: number[];
  } | null;
  /** `null` in a part before the last one. */
  finish_reason: Exclude<FinishReason, "tool_calls"> | null;
}

/** A part of a completion as it streams. */
export interface TextCompletionChunk {
  id: string;
  object: "text_completion";
  /** Seconds since 1970. */
  created: number;
  /** As its file calls it. */
  model: string;
  choices: TextChoice[];
  usage?: Usage;
  timings?: Timings;
}

/** A whole completion. */
export interface TextCompletion extends TextCompletionChunk {
  choices: (TextChoice & { finish_reason: NonNullable<TextChoice["finish_reason"]> })[];
  usage: Usage;
  timings: Timings;
}

/** How far loading is, in bytes: of what an answer needs in any case. Experts come when they are asked for. */
export interface Progress {
  phase: "header" | "weights";
  loaded: number;
  /** 0 while it is not known. */
  total: number;
  /** All of the model; 0 while it is not known. */
  model: number;
}

/** A model that was loaded, and what it runs on. */
export interface EngineInfo {
  /** As its file calls it. */
  name: string;
  /** As GGUF has it: `gpt-oss`, `llama`. */
  architecture: string;
  /** The GPU in words, as far as the browser tells. */
  adapter: string;
  /** Tokens. */
  contextLength: number;
  /** Size of the model, in bytes. */
  bytes: number;
  /** GPU memory in use, in bytes. */
  gpuBytes: number;
  /** Where what comes over the network is kept. */
  cache: Exclude<CacheHome, "auto">;
}

/** What a model has cost since it was opened. Names as in OpenAI's usage; the same numbers as the terminal's. */
export interface Stats extends ExpertMap {
  /** Bytes that came over the network; of a file on this machine, what was read. */
  bytes_fetched: number;
  /** Bytes that came over the network. */
  bytes_network: number;
  /** Requests that failed or broke off, and were sent again. */
  retries: number;
  /** Bytes that were read of what is kept on this machine, or of a file that is here anyway. */
  bytes_disk: number;
  /** Bytes that were read of what `maxRamBytes` of memory still held. */
  bytes_ram: number;
  /** Bytes of experts that are held there now. */
  bytes_held: number;
  /** Bytes of the engine's own wasm memory, which holds no weights. */
  bytes_wasm: number;
  /** Bytes of weights that went to the GPU. */
  bytes_gpu: number;
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
  /** Tokens drawn. */
  tokens: number;
  /** Runs over the layers, or over some of them after a miss. */
  passes: number;
  /** Of these, those after a miss. */
  replays: number;
  /** Tokens that were guessed from those before, and of these, those that were said. */
  drafted: number;
  draft_hits: number;
  /** Seconds that answers waited for experts. */
  stall_seconds: number;
  /** Places for experts on the GPU, a layer. */
  slots: number;
  dispatches: number;
  bind_groups: number;
  /** By the host, into the GPU's buffers. */
  bytes_written: number;
  /** By the host, of the GPU's buffers. */
  bytes_read: number;
  readbacks: number;
  fill: FillProgress;
}

/** The nearest place that an expert is in: on the GPU, in memory, kept on this machine, or nearer than the server nowhere. */
export type Place = "gpu" | "ram" | "disk" | "network";

/** By layer, then by expert; empty where a model has none. */
export interface ExpertMap {
  /** How much each was used of late: a use counts 1 and halves every 12 tokens. */
  heat: number[][];
  places: Place[][];
}

/** What happens to experts, as it happens. */
export type PagingEvent =
  /** Its bytes are asked for: a token needs it, one will probably do, or a place on the GPU is free. */
  | { type: "fetch"; layer: number; expert: number; why: "demand" | "prefetch" | "background" }
  /** It is on the GPU. */
  | { type: "arrive"; layer: number; expert: number; bytes: number }
  /** Its reading ended before all of it had come. */
  | { type: "abandon"; layer: number; expert: number }
  /** It left the GPU to make room. */
  | { type: "leave"; layer: number; expert: number }
  /** A token used these, or a part of the prompt did; `missed` were not on the GPU when it came. */
  | { type: "use"; layer: number; experts: number[]; missed: number[] }
  /** A token's pass goes back to this layer, whose experts have come meanwhile. */
  | { type: "replay"; layer: number }
  /** An answer has waited for experts. */
  | { type: "stall"; seconds: number }
  /** Bytes of each kind since the model was opened, after they have grown. */
  | { type: "bytes"; network: number; disk: number; ram: number; gpu: number };

/** How far the background fill is. */
export interface FillProgress {
  type: "fill";
  /**
   * Before the first token it is `waiting`, so that an answer begins after the fewest bytes. It has `stopped` if what
   * came could not be kept or fetched; it tries again after a while, after an answer if there is more room, or when it is resumed.
   */
  state: "waiting" | "running" | "paused" | "stopped" | "done";
  /** Bytes of the model that are kept on this machine; where nothing is kept, bytes of weights on the GPU. */
  loaded: number;
  /** All of the model; where nothing is kept, what the GPU has room for. */
  total: number;
  /** Whether all of the model is kept and was held against the SHA-256 of a {@link Manifest}. */
  verified: boolean;
}

/** Events by the names that `on` knows. */
export interface EngineEvents {
  paging: PagingEvent;
  fill: FillProgress;
}

/** How keys and values are kept: halves, floats, or bytes in blocks of 32 with a scale. */
export type KvType = "f16" | "f32" | "q8_0";

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
  /** Whether a {@link Manifest} has said the sums of all files, and they are these. */
  announced: boolean;
}

/**
 * What the files of a model must be. What is kept of such a file is used whatever its address and its ETag are now, and
 * held against its sum in the background once all of it is here. Of what is not kept, as with `cache: "none"` and of a `File`, the
 * size alone is checked, which is said (`onWarning`). A file is meant by the last part of its URL's path.
 */
export interface Manifest {
  files: { url: string; size: number; /** 64 hexadecimal digits. */ sha256: string }[];
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

/** What may be said of a call that takes its time. */
export interface CacheOptions {
  /** Bytes. */
  onProgress?: (progress: { loaded: number; total: number }) => void;
  /** Stops it; the call then rejects with a `DOMException` named `AbortError`. */
  signal?: AbortSignal;
}
