/** The side with the conversations: beside the page where there is room, else over it when it is wanted. */

import { element } from "./dom.ts";

const narrow = matchMedia("(max-width: 56rem)");

export class Side {
  #button = element<HTMLButtonElement>("toggle");
  #side = element("side");
  #page = element("page");
  #isOpen = !narrow.matches;

  constructor() {
    this.#button.addEventListener("click", () => this.toggle());
    element("shade").addEventListener("click", () => this.#set(false));
    // What lies over the page goes first: the answer under way, which Escape stops too, is below. So does a dialog over the side.
    document.body.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#page.inert || document.querySelector("dialog[open]")) return;
      event.stopPropagation();
      this.#set(false);
    });
    narrow.addEventListener("change", () => this.#set(!narrow.matches));
    this.#set(this.#isOpen);
  }

  toggle(): void {
    this.#set(!this.#isOpen);
    if (this.#isOpen && narrow.matches) this.#side.querySelector<HTMLElement>("button, a")?.focus();
  }

  /** After something was chosen in it. */
  leave(): void {
    if (narrow.matches) this.#set(false);
  }

  #set(isOpen: boolean): void {
    const wasOver = this.#page.inert;
    this.#isOpen = isOpen;
    document.body.classList.toggle("with-side", isOpen);
    this.#side.inert = !isOpen;
    this.#page.inert = isOpen && narrow.matches;
    this.#button.setAttribute("aria-expanded", String(isOpen));
    if (wasOver && !isOpen) this.#button.focus();
  }
}
