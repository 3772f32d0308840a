/** Buttons that put text on the clipboard. */

import { words } from "./answer.ts";
import { create, iconButton } from "./dom.ts";
import { t } from "./language.ts";
import { notify } from "./notice.ts";

const SHOWN_MS = 1500;

export function copyButton(text: () => string): HTMLButtonElement {
  const button = iconButton("copy", t("Copy"), () => {
    const done = () => {
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), SHOWN_MS);
    };
    put(text()).then(done, (error: unknown) => notify(words(error)));
  });
  return button;
}

async function put(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // A page by plain HTTP has the old way alone: to copy what is marked.
  const { activeElement } = document;
  const area = create("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  if (activeElement instanceof HTMLElement) activeElement.focus({ preventScroll: true });
  if (!isDone) throw new Error(t("The browser does not let this page copy."));
}
