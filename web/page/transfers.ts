/** The dialog of export and import. */

import { words } from "./answer.ts";
import { element } from "./dom.ts";
import { t } from "./language.ts";
import { notify } from "./notice.ts";
import * as shelf from "./shelf.ts";
import type { Kept, Tree } from "./tree.ts";

export class Transfers {
  #tree: () => Tree;
  #imported: () => void;

  constructor(tree: () => Tree, imported: () => void) {
    [this.#tree, this.#imported] = [tree, imported];
    const dialog = element<HTMLDialogElement>("transfer");
    const button = (id: string, work: () => void | Promise<void>) => {
      const found = element<HTMLButtonElement>(id);
      found.addEventListener("click", async () => {
        try {
          await work();
          dialog.close();
        } catch (error) {
          notify(words(error));
        }
      });
      return found;
    };
    const ofThis = [button("save-markdown", () => this.#saveMarkdown()), button("save-json", () => this.#save([tree()]))];
    button("save-all", async () => this.#save(await all()));
    element("open-transfer").addEventListener("click", () => {
      for (const button of ofThis) button.disabled = tree().turns.length === 0;
      dialog.showModal();
    });
    element<HTMLInputElement>("import").addEventListener("change", async ({ currentTarget }) => {
      const input = currentTarget as HTMLInputElement;
      const file = input.files?.[0];
      input.value = "";
      dialog.close();
      if (file) await this.take(file);
    });
  }

  /** Keeps the conversations of a file beside those that are here. */
  async take(file: File): Promise<void> {
    try {
      const kept = (await forms()).fromJson(await file.text());
      for (const conversation of kept) await shelf.keep(conversation);
      notify(t("Conversations imported: {n}", { n: kept.length }));
    } catch (error) {
      notify(t("{file} could not be imported: {why}", { file: file.name, why: words(error) }));
    }
    this.#imported();
  }

  async #saveMarkdown(): Promise<void> {
    const { head, path } = this.#tree();
    const text = (await forms()).toMarkdown(head.title, path, { you: t("You"), answer: t("Answer"), result: t("Result") });
    download(`${nameOf(head.title)}.md`, "text/markdown", text);
  }

  async #save(kept: Kept[]): Promise<void> {
    const name = kept.length === 1 ? nameOf(kept[0]!.head.title) : "quire";
    download(`${name}.json`, "application/json", (await forms()).toJson(kept));
  }
}

/** How conversations are written and read; fetched for who wants to. */
const forms = () => import("./transfer.ts");

async function all(): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const head of await shelf.list()) kept.push(await shelf.read(head));
  return kept;
}

/** A title as the name of a file. */
function nameOf(title: string): string {
  return title.replace(/[^\p{Letter}\p{Number}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "quire";
}

function download(name: string, type: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
