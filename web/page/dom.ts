/** The page's own elements, and new ones. Text goes in as text, never as markup. */

import { type Icon, icon } from "./icons.ts";

export function element<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element "${id}".`);
  return found as E;
}

export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  text = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** A button that shows an icon and is called `label`. */
export function iconButton(name: Icon, label: string, press: () => void): HTMLButtonElement {
  const made = create("button", "icon");
  made.type = "button";
  made.title = label;
  made.setAttribute("aria-label", label);
  made.append(icon(name));
  made.addEventListener("click", press);
  return made;
}

/** A button that says what it does. */
export function textButton(label: string, press: () => void, className = ""): HTMLButtonElement {
  const made = create("button", className, label);
  made.type = "button";
  made.addEventListener("click", press);
  return made;
}
