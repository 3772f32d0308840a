/** Conversations as files: JSON, which comes back as it was, and Markdown, for people. */

import type { Message, Role, ToolCall } from "../src/index.ts";
import { t } from "./language.ts";
import type { Document, Passage } from "./passages.ts";
import { record } from "./record.ts";
import { type End, type Head, type Kept, newId, titleOf, type Turn } from "./tree.ts";

const FORMAT = "quire-conversations";

export function toJson(kept: Kept[]): string {
  const conversations = kept.map(({ head: { title, made, changed, chosen }, turns, documents }) => ({
    title,
    made,
    changed,
    chosen,
    turns: turns.map(({ conversation: _, ...turn }) => turn),
    ...(documents.length > 0 && { documents: documents.map(({ name, passages }) => ({ name, passages })) }),
  }));
  return JSON.stringify({ format: FORMAT, version: 1, conversations }, undefined, 1);
}

/** Conversations out of a file, as new ones. Throws, in words, at what is none. */
export function fromJson(text: string): Kept[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error(t("The file is not JSON."));
  }
  const { format, conversations } = record(file, t("The file"));
  if (format !== FORMAT) throw new Error(t('The file says format {format}, not "{own}".', { format: JSON.stringify(format), own: FORMAT }));
  return array(conversations, "conversations").map(conversation);
}

function conversation(value: unknown, index: number): Kept {
  const at = `conversations[${index}]`;
  const { title, made, changed, chosen, turns: raw, documents: given = [] } = record(value, at);
  const head: Head = { id: newId(), title: "", made: time(made), changed: time(changed), chosen: {} };
  // Ids are made anew: the file may have come from here.
  const ids = new Map<unknown, string>([["", ""]]);
  const parsed = array(raw, `${at}.turns`).map((value, n) => {
    const fields = record(value, `${at}.turns[${n}]`);
    const id = newId();
    ids.set(fields["id"], id);
    return { id, fields, at: `${at}.turns[${n}]` };
  });
  const turns = parsed.flatMap(({ id, fields, at }): Turn[] => {
    const end = ends.find((end) => end === fields["end"]);
    const parent = ids.get(fields["parent"]);
    // What follows a turn that was lost is never shown; the rest of the file is.
    if (parent === undefined) return [];
    const trouble = fields["trouble"];
    const passages = fields["passages"] === undefined ? [] : array(fields["passages"], `${at}.passages`).map((value) => passage(value, `${at}.passages`));
    const results = fields["results"] === undefined ? undefined : array(fields["results"], `${at}.results`).map((value) => plain(value, `${at}.results`));
    const turn = {
      conversation: head.id,
      id,
      parent,
      made: time(fields["made"]),
      message: message(fields["message"], `${at}.message`, results ? ["tool"] : ["user", "assistant"]),
      ...(end && { end }),
      ...(passages.length > 0 && { passages }),
      ...(results && { results }),
      ...(typeof trouble === "string" && { trouble }),
    };
    return [turn];
  });
  const documents = array(given, `${at}.documents`).map((value, n) => document(value, head.id, `${at}.documents[${n}]`));
  for (const [after, id] of Object.entries(chosen && typeof chosen === "object" ? chosen : {})) {
    const [key, choice] = [ids.get(after), ids.get(id)];
    if (key !== undefined && choice) head.chosen[key] = choice;
  }
  const first = turns.find(({ parent }) => parent === "")?.message.content ?? "";
  head.title = typeof title === "string" && title.trim() ? titleOf(title) : titleOf(first);
  return { head, turns, documents };
}

const ends: readonly End[] = ["stop", "length", "full", "stopped", "failed", "going"];

function message(value: unknown, at: string, roles: Role[]): Message {
  const { role: said, content, reasoning, tool_calls } = record(value, at);
  const role = roles.find((role) => role === said);
  if (!role) throw new Error(t("{at} is {value}.", { at: `${at}.role`, value: JSON.stringify(said) }));
  if (content !== null && typeof content !== "string") throw new Error(t("{at} is not text.", { at: `${at}.content` }));
  const calls = tool_calls === undefined ? [] : array(tool_calls, `${at}.tool_calls`).map((value, n) => call(value, `${at}.tool_calls[${n}]`));
  return { role, content, ...(typeof reasoning === "string" && { reasoning }), ...(calls.length > 0 && { tool_calls: calls }) };
}

function call(value: unknown, at: string): ToolCall {
  const { id, function: called } = record(value, at);
  const { name, arguments: given } = record(called, `${at}.function`);
  if (typeof id !== "string" || typeof name !== "string" || typeof given !== "string") throw new Error(t("{at} is not a call of a function.", { at }));
  return { id, type: "function", function: { name, arguments: given } };
}

function plain(value: unknown, at: string): string {
  if (typeof value !== "string") throw new Error(t("{at} is not text.", { at }));
  return value;
}

function passage(value: unknown, at: string): Passage {
  const { source, text } = record(value, at);
  if (typeof source !== "string" || typeof text !== "string") throw new Error(t("{at} are not texts with their sources.", { at }));
  return { source, text };
}

function document(value: unknown, conversation: string, at: string): Document {
  const { name, passages } = record(value, at);
  return { conversation, id: newId(), name: plain(name, `${at}.name`), passages: array(passages, `${at}.passages`).map((value) => passage(value, `${at}.passages`)) };
}

function array(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(t("{at} is not an array.", { at }));
  return value;
}

function time(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : Date.now();
}

/** What headings call who speaks. */
export interface Speakers {
  you: string;
  answer: string;
  result: string;
}

/** The turns of one path. */
export function toMarkdown(title: string, path: Turn[], { you, answer, result }: Speakers): string {
  const parts = path.map(({ message: { role, content, reasoning, tool_calls = [] }, results = [] }) => {
    const quoted = reasoning ? [reasoning.trim().replace(/^/gm, "> ")] : [];
    const calls = tool_calls.map(({ function: { name, arguments: given } }) => fenced(`${name}(${given})`, "json"));
    const heading = role === "user" ? you : role === "tool" ? result : answer;
    return [`## ${heading}`, ...quoted, ...calls, ...results.map((text) => fenced(text)), ...(content ? [content.trim()] : [])].join("\n\n");
  });
  return `${[`# ${title}`, ...parts].join("\n\n")}\n`;
}

/** A block of text as it is, whatever fences are in it. */
function fenced(text: string, language = ""): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}
