/** What the page says, in English or Chinese. English stands in the code and in index.html; `chinese.ts`, fetched for those who read it, has the rest. */

import type { chinese, troubles } from "./chinese.ts";

export type Text = keyof typeof chinese;
export type Language = "en" | "zh";

/** None for English. */
let spoken: { chinese: typeof chinese; troubles: typeof troubles } | undefined;

/** `text` as the person reads it, `{name}` replaced by the value of that name. */
export function t(text: Text, values: Record<string, string | number> = {}): string {
  const said: string = spoken && Object.hasOwn(spoken.chinese, text) ? spoken.chinese[text] : text;
  return said.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** Sentences one after the other: Chinese has no space between them. */
export const sentences = (...said: string[]): string => said.join(spoken ? "" : " ");

/** What the engine says, where it is known here. Its errors have no other language: before one that is not known stands what errors of its `code` are. */
export function known(text: string, code?: keyof typeof troubles): string {
  if (spoken && code && !Object.hasOwn(spoken.chinese, text)) return `${spoken.troubles[code]}（${text}）`;
  return t(text as Text);
}

/** Has an English text be in the person's language from now on, whichever that will be, if it is known. */
export function mark(element: Element): void {
  originals.delete(element);
  element.setAttribute("data-t", "");
  translate(element.parentElement!);
}

/** The language that was asked for, or else the browser's. */
export function choose(asked: string, offered: readonly string[] = navigator.languages): Language {
  const first = asked || offered.find((tag) => /^(en|zh)\b/i.test(tag)) || "en";
  return /^zh\b/i.test(first) ? "zh" : "en";
}

/** English goes on to be spoken if the rest cannot be fetched. */
export async function speak(next: Language): Promise<void> {
  spoken = next === "zh" ? await import("./chinese.ts").catch(() => undefined) : undefined;
}

/** English text and attributes of the elements of index.html that are marked `data-t`. */
const originals = new WeakMap<Element, [get: () => string, set: (text: string) => void, english: Text][]>();

/** Says everything below `root` that is marked `data-t` in the language that was chosen. */
export function translate(root: ParentNode): void {
  for (const element of root.querySelectorAll("[data-t]")) {
    const known = originals.get(element) ?? find(element);
    originals.set(element, known);
    for (const [get, set, english] of known) if (get() !== t(english)) set(t(english));
  }
}

function find(element: Element) {
  const parts: [() => string, (text: string) => void, Text][] = [];
  for (const node of element.childNodes) {
    if (node.nodeType !== Node.TEXT_NODE || !node.nodeValue?.trim()) continue;
    parts.push([() => node.nodeValue ?? "", (text) => (node.nodeValue = text), node.nodeValue.trim().replace(/\s+/g, " ") as Text]);
  }
  for (const name of ["aria-label", "placeholder", "title"]) {
    const english = element.getAttribute(name);
    if (english) parts.push([() => element.getAttribute(name) ?? "", (text) => element.setAttribute(name, text), english as Text]);
  }
  return parts;
}
