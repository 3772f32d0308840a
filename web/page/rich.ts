/** Text of an answer: plain at once, and as Markdown as soon as what reads that has come. */

import type { Blocks } from "./markdown.ts";

let markdown: typeof import("./markdown.ts") | undefined;
let loading: Promise<unknown> | undefined;

/** Growing text is drawn at most so often, and rests for so many times of what drawing took. */
const FRAME_MS = 30;
const REST = 4;

/** Resolves once Markdown can be read; where that cannot be fetched text stays plain. */
function load(): Promise<unknown> {
  loading ??= import("./markdown.ts").then(
    (loaded) => (markdown = loaded),
    () => (loading = undefined),
  );
  return loading;
}

export class RichText {
  #root: HTMLElement;
  #blocks: Blocks | undefined;
  #text = "";
  #isWhole = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Milliseconds that drawing took last. */
  #cost = 0;

  constructor(root: HTMLElement) {
    this.#root = root;
    root.classList.add("text");
  }

  /** Shows `text`, which as a rule begins with what was shown before. */
  show(text: string, isWhole: boolean): void {
    [this.#text, this.#isWhole] = [text, isWhole];
    if (!markdown) {
      this.#root.textContent = text;
      void load().then(() => this.#draw());
    } else if (isWhole) this.#draw();
    else this.#timer ??= setTimeout(() => this.#draw(), Math.max(FRAME_MS, REST * this.#cost));
  }

  #draw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!markdown) return;
    const begin = performance.now();
    this.#blocks ??= new markdown.Blocks(this.#root);
    this.#root.classList.remove("text");
    this.#blocks.show(this.#text, this.#isWhole);
    this.#cost = performance.now() - begin;
  }
}
