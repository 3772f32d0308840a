/** A line that comes up, says what has happened, and goes; perhaps with a way back. */

import { element, textButton } from "./dom.ts";
import { t } from "./language.ts";

const SHOWN_MS = 8000;

let timer: ReturnType<typeof setTimeout> | undefined;

export function notify(text: string, undo?: () => void): void {
  const box = element("notice");
  const hide = () => {
    clearTimeout(timer);
    box.replaceChildren();
  };
  hide();
  box.append(text);
  if (undo) {
    box.append(
      textButton(t("Undo"), () => {
        hide();
        undo();
      }),
    );
  }
  timer = setTimeout(hide, SHOWN_MS);
}
