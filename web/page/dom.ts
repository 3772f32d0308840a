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

/** Lets the keyboard scroll what may be larger than its place, and says what it is. */
export function makeScrollable(element: HTMLElement, label: string): void {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
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

/** Marks a button that goes on with the conversation, so that it waits for an engine and for the answer that is under way. */
export function asking(button: HTMLButtonElement): HTMLButtonElement {
  button.dataset["asks"] = "";
  return button;
}

/** Whether a key belongs to an input method; Safari tells only by the code that the Enter which ends a composition is one. */
export const isComposing = ({ isComposing, keyCode }: KeyboardEvent): boolean => isComposing || keyCode === 229;

/** A control as people know it from others. */
const nameOf = (control: Element) => control.getAttribute("aria-label") ?? control.textContent;

/**
 * Remembers which control in `root` has the focus, to be called before its children, which have `data-key`s, are drawn anew. What comes
 * back, called after that, gives the focus to the control that is like it, or to one beside it, and says whether it is lost.
 */
export function holdFocus(root: HTMLElement): () => boolean {
  const { activeElement: held } = document;
  const home = ([...root.children] as HTMLElement[]).find((child) => child.contains(held));
  if (!held || !home) return () => false;
  const { key } = home.dataset;
  const name = nameOf(held);
  return () => {
    const now = ([...root.children] as HTMLElement[]).find((child) => child.dataset["key"] === key);
    const controls = [...(now?.querySelectorAll<HTMLElement>("a, button, summary, textarea") ?? [])];
    const like = controls.find((control) => nameOf(control) === name);
    const takes = (control: HTMLElement) => {
      control.focus({ preventScroll: true });
      return document.activeElement === control;
    };
    return !like || ![like, ...controls].some(takes);
  };
}
