/** Functions that a model may call, as a person writes them: JSON, each as OpenAI has it or by itself. */

import type { Tool } from "../src/index.ts";
import { t, type Text } from "./language.ts";
import { record } from "./record.ts";

/** No text is no tools. Throws, in words, at what is none. */
export function toolsOf(text: string): Tool[] {
  if (text.trim() === "") return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(t("This is not JSON: {why}", { why: (error as Error).message }));
  }
  if (!Array.isArray(value)) throw new Error(t("Tools stand in an array, in square brackets."));
  const tools = value.map(toolOf);
  const names = tools.map(({ function: { name } }) => name);
  for (const [n, name] of names.entries()) {
    const first = names.indexOf(name);
    if (first < n) throw new Error(t("Tools {a} and {b} have the same name.", { a: first + 1, b: n + 1 }));
  }
  return tools;
}

/** What is wrong with `text` as tools, in words; nothing if nothing is. */
export function wrongIn(text: string): string {
  try {
    toolsOf(text);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

function toolOf(value: unknown, index: number): Tool {
  const n = index + 1;
  const place = (field: string) => t("“{field}” of tool {n}", { field, n });
  const refuse: (text: Text, field: string, value: unknown) => never = (text, field, value) => {
    throw new Error(t(text, { at: place(field), value: JSON.stringify(value) ?? "" }));
  };
  const entry = record(value, t("Tool {n}", { n }));
  const { type = "function", ...bare } = entry;
  if (type !== "function") return refuse("{at} is {value}.", "type", type);
  // What has a type and no name has forgotten its function.
  const isWhole = "function" in entry || ("type" in entry && !("name" in entry));
  const called = isWhole ? record(entry["function"], place("function")) : bare;
  const { name, description, parameters, strict } = called;
  if (typeof name !== "string") return refuse(name === undefined ? "{at} is missing." : "{at} is not text.", "name", name);
  if (!/^[\w.-]{1,64}$/.test(name)) refuse("{at} is {value}: names have letters, digits, _, - and . alone, at most 64.", "name", name);
  if (typeof (description ?? "") !== "string") refuse("{at} is not text.", "description", description);
  record(parameters ?? {}, place("parameters"));
  if (typeof (strict ?? false) !== "boolean") refuse("{at} is {value}.", "strict", strict);
  return { type, function: called as unknown as Tool["function"] };
}
