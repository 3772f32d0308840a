/** The part of OpenAI's responses API that Quire speaks. */

import type { Logprobs, ReasoningEffort, Role, Sampling } from "./types.ts";

/** What is said, by anybody, thought or called: an element of `input`, as `output` has it. */
export type ResponseInputItem =
  | { type?: "message"; role: Exclude<Role, "tool">; content: string | ResponseInputPart[] }
  | { type: "reasoning"; content?: ReasoningPart[]; summary?: { type: "summary_text"; text: string }[] }
  | { type: "function_call"; call_id: string; name: string; arguments: string }
  /** What a call of the model's came to. */
  | { type: "function_call_output"; call_id: string; output: string | ResponseInputPart[] };

/** Parts are joined. */
export type ResponseInputPart = { type: "input_text" | "output_text"; text: string };

/** A function that the model may ask for; `parameters` is a JSON schema, to which calls keep if `strict`. */
export interface ResponseTool {
  type: "function";
  name: string;
  description?: string | null;
  parameters?: object | null;
  strict?: boolean | null;
}

/** What {@link Responses.create} takes, as OpenAI has it. */
export interface ResponseRequest
  extends Omit<Sampling, "max_tokens" | "max_completion_tokens" | "n" | "response_format" | "stream_options"> {
  input: string | ResponseInputItem[];
  /** A system message before the others. */
  instructions?: string | null;
  /** Tokens of the answer at most, its reasoning included; by default what the context has room for. */
  max_output_tokens?: number | null;
  reasoning?: { effort?: ReasoningEffort | null } | null;
  tools?: ResponseTool[];
  tool_choice?: "auto" | "none" | "required" | { type: "function"; name: string };
  /** What the answer must look like. */
  text?: { format?: ResponseFormatText };
  /** `message.output_text.logprobs` asks for those. */
  include?: "message.output_text.logprobs"[] | null;
  /** Likeliest tokens to report beside each one, 0 to 20. */
  top_logprobs?: number | null;
  metadata?: Record<string, string> | null;
  /** `true` is taken as `false`: nothing is stored. */
  store?: boolean | null;
}

/** What the text of an answer must look like. */
export type ResponseFormatText =
  | { type: "text" }
  | { type: "json_object" }
  | { type: "json_schema"; name: string; description?: string; schema: object; strict?: boolean | null };

/** Words of an answer. */
export interface OutputTextPart {
  type: "output_text";
  text: string;
  annotations: [];
  logprobs: Logprobs["content"];
}

/** Words of what the model thought. */
export interface ReasoningPart {
  type: "reasoning_text";
  text: string;
}

type Status = "in_progress" | "completed" | "incomplete";

/** What the model said, thought, or asks to be called. Sent again as `input` it goes on from there. */
export type ResponseOutputItem =
  | { type: "message"; id: string; status: Status; role: "assistant"; content: OutputTextPart[] }
  | { type: "reasoning"; id: string; status: Status; summary: []; content: ReasoningPart[] }
  | { type: "function_call"; id: string; status: Status; call_id: string; name: string; arguments: string };

/** Tokens that a response took. */
export interface ResponseUsage {
  input_tokens: number;
  /** `cached_tokens` were kept from the request before; what is written for the next one costs nothing and is not counted. */
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

/** A whole response, or as much as there is of it. */
export interface Response {
  id: string;
  object: "response";
  /** Seconds since 1970. */
  created_at: number;
  /** As its file calls it. */
  model: string;
  status: Status;
  /** Why it is incomplete. */
  incomplete_details: { reason: "max_output_tokens" } | null;
  error: null;
  /** Nobody is in any. */
  access_programs: null;
  output: ResponseOutputItem[];
  /** All text of the output's messages. */
  output_text: string;
  /** Once it has ended. */
  usage?: ResponseUsage;
  instructions: string | null;
  metadata: Record<string, string>;
  temperature: number | null;
  top_p: number | null;
  max_output_tokens: number | null;
  tools: (ResponseTool & { parameters: Record<string, unknown> | null; strict: boolean | null })[];
  tool_choice: NonNullable<ResponseRequest["tool_choice"]>;
  parallel_tool_calls: boolean;
}

/** Where in the output something grows. */
interface At {
  item_id: string;
  output_index: number;
}
interface PartAt extends At {
  content_index: number;
}

/** What happens to a response: items begin, grow and end, one after the other. */
export type ResponseStreamEvent = { sequence_number: number } & (
  | { type: "response.created" | "response.in_progress" | "response.completed" | "response.incomplete"; response: Response }
  | { type: "response.output_item.added" | "response.output_item.done"; output_index: number; item: ResponseOutputItem }
  | ({ type: "response.content_part.added" | "response.content_part.done"; part: OutputTextPart | ReasoningPart } & PartAt)
  | ({ type: "response.output_text.delta"; delta: string; logprobs: Logprobs["content"] } & PartAt)
  | ({ type: "response.output_text.done"; text: string; logprobs: Logprobs["content"] } & PartAt)
  | ({ type: "response.reasoning_text.delta"; delta: string } & PartAt)
  | ({ type: "response.reasoning_text.done"; text: string } & PartAt)
  | ({ type: "response.function_call_arguments.delta"; delta: string } & At)
  | ({ type: "response.function_call_arguments.done"; name: string; arguments: string } & At)
);

/** A response as the engine tells it. */
type Told = Omit<Response, "output_text" | "usage" | "tools"> & { usage: ResponseUsage | null; tools: ResponseTool[] };

/** A response with all that OpenAI's types promise of one. */
export function complete({ usage, tools, ...told }: Told): Response {
  const parts = told.output.flatMap((item) => (item.type === "message" ? item.content : []));
  return {
    ...told,
    output_text: parts.map(({ text }) => text).join(""),
    tools: tools.map((tool) => ({ ...tool, parameters: (tool.parameters ?? null) as Record<string, unknown> | null, strict: tool.strict ?? null })),
    ...(usage && { usage }),
  };
}
