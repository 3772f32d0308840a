/** The conversations by name: to go to, to rename, to delete. */

import { words } from "./answer.ts";
import { create, element, holdFocus, iconButton, isComposing } from "./dom.ts";
import { t } from "./language.ts";
import { notify } from "./notice.ts";
import * as shelf from "./shelf.ts";
import type { Head } from "./tree.ts";

/** What the page around it does about the list. */
export interface Around {
  renamed(head: Head): void;
  /** A conversation is about to be removed; what comes back is for when it could not be. */
  forget(id: string): () => void;
  removed(id: string): void;
}

export class List {
  #root = element("chats");
  #current = "";
  #around: Around;

  constructor(around: Around) {
    this.#around = around;
    shelf.watch(() => void this.show());
  }

  /** Shows what is kept; `current` is the conversation that the page shows. */
  async show(current = this.#current): Promise<void> {
    this.#current = current;
    // One that is being renamed stays as it is.
    if (this.#root.querySelector("input")) return;
    const heads = await shelf.list().catch(() => []);
    const isFocusLost = holdFocus(this.#root);
    this.#root.replaceChildren(...heads.map((head) => this.#item(head)));
    if (isFocusLost()) element("new-chat").focus();
  }

  #item(head: Head): HTMLLIElement {
    const item = create("li");
    item.dataset["key"] = head.id;
    const link = create("a", "", head.title || t("Conversation"));
    link.href = `#${head.id}`;
    link.title = link.textContent ?? "";
    if (head.id === this.#current) link.setAttribute("aria-current", "page");
    const title = link.title;
    item.append(
      link,
      iconButton("pencil", t("Rename {title}", { title }), () => this.#rename(head, item)),
      iconButton("trash", t("Delete {title}", { title }), () => void this.#remove(head)),
    );
    return item;
  }

  #rename(head: Head, item: HTMLLIElement): void {
    const input = create("input");
    input.value = head.title;
    input.setAttribute("aria-label", t("Name of the conversation"));
    const end = async (isKept: boolean) => {
      input.onblur = null;
      const title = input.value.trim();
      input.remove();
      if (isKept && title && title !== head.title) {
        await shelf.rename(head.id, title).catch(complain);
        this.#around.renamed({ ...head, title });
      }
      await this.show();
      this.#root.querySelector<HTMLElement>(`a[href="#${head.id}"]`)?.focus();
    };
    input.onblur = () => void end(true);
    input.addEventListener("keydown", (event) => {
      if (isComposing(event) || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.stopPropagation();
      void end(event.key === "Enter");
    });
    item.replaceChildren(input);
    input.focus();
    input.select();
  }

  async #remove(head: Head): Promise<void> {
    const remember = this.#around.forget(head.id);
    try {
      const tree = await shelf.read(head);
      await shelf.remove(head.id);
      this.#around.removed(head.id);
      notify(t("“{title}” was deleted.", { title: head.title }), () => {
        void shelf.keep(tree).then(() => this.show(), complain);
      });
    } catch (error) {
      remember();
      complain(error);
    }
    await this.show();
  }
}

function complain(error: unknown): void {
  notify(words(error));
}
