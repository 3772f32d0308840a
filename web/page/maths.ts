/** Formulas, set by KaTeX. Its fonts and styles come with the first of them. */

import katex from "katex";
import { makeScrollable } from "./dom.ts";
import { t } from "./language.ts";

let isStyled = false;

/** Puts the formula that the text of `element` is in its place; what is no formula stays as it is. */
export function set(element: HTMLElement): void {
  if (!isStyled) {
    isStyled = true;
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL("./maths.css", import.meta.url).href;
    document.head.append(link);
  }
  const place = document.createElement("span");
  try {
    // Nothing that links, fetches or names classes; no macro that never ends.
    const limits = { trust: false, strict: "ignore", maxExpand: 200, maxSize: 20 } as const;
    katex.render(element.textContent ?? "", place, { ...limits, displayMode: element.classList.contains("display") });
    const display = place.querySelector<HTMLElement>(".katex-display");
    if (display) makeScrollable(display, t("Formula"));
    element.replaceWith(place);
  } catch {
    // Shown as it was written.
  }
}
