/** Text of an answer: plain at once. */

export class RichText {
  #root: HTMLElement;
  #shown = "";

  constructor(root: HTMLElement) {
    this.#root = root;
    root.classList.add("text");
  }

  /** Shows `text`, which as a rule begins with what was shown before. */
  show(text: string, _isWhole: boolean): void {
    if (text.startsWith(this.#shown)) this.#root.append(text.slice(this.#shown.length));
    else this.#root.textContent = text;
    this.#shown = text;
  }
}
