/** What a model asks to be called, and the form by which a person says what came of it. The page itself calls nothing. */

import type { ToolCall } from "../src/index.ts";
import { asking, create, isComposing, textButton } from "./dom.ts";
import { t } from "./language.ts";

/** Which function, and with what. */
export function callView({ function: { name, arguments: given } }: ToolCall, isOpen = true): HTMLElement {
  let text = given;
  try {
    text = JSON.stringify(JSON.parse(given), undefined, 2);
  } catch {
    // It is still coming, or never was JSON.
  }
  return view(t("Calls {name}", { name }), text, isOpen);
}

/** What a call came to. */
export const resultView = ({ function: { name } }: ToolCall, result: string): HTMLElement => view(t("Result of {name}", { name }), result);

function view(title: string, text: string, isOpen = true): HTMLElement {
  const root = create("div", "call");
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", title);
  const details = create("details");
  const pre = create("pre", "", text);
  pre.dir = "auto";
  details.append(create("summary", "", title), pre);
  details.open = isOpen;
  root.append(details);
  return root;
}

/** What was typed for the calls of a turn, by its id: turns are drawn anew while somebody types. */
const typed = new Map<string, string[]>();

export const typedFor = (id: string): string[] => typed.get(id) ?? typed.set(id, []).get(id)!;

/** A form with a field for what each call came to. In `results` is what stands there; what is typed goes there too. */
export function resultForm(calls: ToolCall[], results: string[], send: (results: string[]) => void, cancel?: () => void): HTMLFormElement {
  const form = create("form", "results");
  for (const [n, call] of calls.entries()) {
    // Who changes a result has the call before his eyes.
    const root = callView(call, !cancel);
    const label = create("label", "", t("Result"));
    const input = create("textarea");
    input.value = results[n] ?? "";
    input.dir = "auto";
    input.rows = 2;
    input.required = true;
    input.placeholder = t("What the function returned");
    input.addEventListener("input", () => (results[n] = input.value));
    label.append(input);
    root.append(label);
    form.append(root);
  }
  const row = create("div", "row");
  if (cancel) row.append(textButton(t("Cancel"), cancel));
  row.append(asking(create("button", "primary", calls.length > 1 ? t("Send results") : t("Send result"))));
  form.append(row);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(calls.map((_, n) => results[n] ?? ""));
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && cancel) {
      event.stopPropagation();
      cancel();
    }
    // A result has lines, which Enter ends.
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || isComposing(event)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return form;
}
