/** The editor in the place of a turn. */

import { create, isComposing, textButton } from "./dom.ts";
import { t } from "./language.ts";

export interface Editing {
  /** What stands in the editor at first. */
  text: string;
  /** What the editor is called, and the button that takes its text. */
  label: string;
  action: string;
  /** The text is one of many lines: Enter ends one, and takes the text only with Ctrl or ⌘. */
  isLong?: boolean;
  /** Takes the text, unless there is none; turns are drawn anew then. */
  take(text: string): void;
  /** The editor was closed without that. */
  closed(): void;
}

/** Opens an editor in the place of what is in `root`, if none is open there; closed, it gives the focus back to `opener`. */
export function openEditor(root: HTMLElement, opener: HTMLElement, { text, label, action, isLong = false, take, closed }: Editing): void {
  if (root.classList.contains("edited")) return;
  const form = create("form", "editor");
  const input = create("textarea");
  input.value = text;
  input.dir = "auto";
  // Where it does not grow with its text.
  input.rows = Math.min(12, text.split("\n").length + Math.ceil(text.length / 80));
  input.setAttribute("aria-label", label);
  const close = () => {
    form.remove();
    root.classList.remove("edited");
    opener.focus();
    closed();
  };
  const row = create("div", "row");
  row.append(textButton(t("Cancel"), close), create("button", "primary", action));
  form.append(input, row);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim() !== "") take(input.value);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
    const takes = event.ctrlKey || event.metaKey || (!isLong && !event.shiftKey);
    if (event.key !== "Enter" || !takes || isComposing(event) || event.target !== input) return;
    event.preventDefault();
    form.requestSubmit();
  });
  root.classList.add("edited");
  root.append(form);
  input.focus();
}
