/** Buttons that put text on the clipboard. */

import { iconButton } from "./dom.ts";
import { t } from "./language.ts";

const SHOWN_MS = 1500;

export function copyButton(text: () => string): HTMLButtonElement {
  const button = iconButton("copy", t("Copy"), () => {
    void navigator.clipboard.writeText(text()).then(() => {
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), SHOWN_MS);
    });
  });
  return button;
}
