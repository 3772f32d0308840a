/** JSON that a person gave, read field by field. */

import { t } from "./language.ts";

/** The fields of an object; throws, in words, at what is none. `at` is what a person would call it. */
export function record(value: unknown, at: string): Record<string, unknown> {
  if (value === undefined) throw new Error(t("{at} is missing.", { at }));
  if (!value || typeof value !== "object" || Array.isArray(value)) throw new Error(t("{at} is not an object.", { at }));
  return value as Record<string, unknown>;
}
