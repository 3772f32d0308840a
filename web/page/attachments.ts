/** The documents of the conversation that is shown: given by picker or by drop, named over the message. */

import { words } from "./answer.ts";
import { create, element, iconButton } from "./dom.ts";
import { t } from "./language.ts";
import { notify } from "./notice.ts";
import { cut, type Document } from "./passages.ts";
import { newId, type Tree } from "./tree.ts";

/** Larger files are refused: they would be read whole. */
const LARGEST = 50e6;

export class Attachments {
  #list = element("attached");
  #tree: () => Tree;
  #changed: (tree: Tree, document: Document, isRemoved: boolean) => void;

  /** `changed` is told of each document that comes to a conversation or goes. */
  constructor(tree: () => Tree, changed: (tree: Tree, document: Document, isRemoved: boolean) => void) {
    [this.#tree, this.#changed] = [tree, changed];
    const input = element<HTMLInputElement>("documents");
    element("attach").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = "";
      void this.take(files);
    });
  }

  async take(files: File[]): Promise<void> {
    const tree = this.#tree();
    for (const file of files) {
      try {
        const passages = cut(file.name, await pagesOf(file));
        if (passages.length === 0) throw new Error(t("there is no text in it"));
        const document = { conversation: tree.head.id, id: newId(), name: file.name, passages };
        tree.documents.push(document);
        this.#changed(tree, document, false);
      } catch (error) {
        notify(t("{file} could not be read: {why}", { file: file.name, why: words(error) }));
      }
    }
    this.show();
  }

  show(): void {
    const tree = this.#tree();
    const { documents } = tree;
    this.#list.replaceChildren(
      ...documents.map((document) => {
        const item = create("li", "", document.name);
        item.append(
          iconButton("close", t("Remove {name}", { name: document.name }), () => {
            documents.splice(documents.indexOf(document), 1);
            this.#changed(tree, document, true);
            this.show();
            element("message").focus();
          }),
        );
        return item;
      }),
    );
  }
}

async function pagesOf(file: File): Promise<string[]> {
  if (file.size > LARGEST) throw new Error(t("it is larger than 50 MB"));
  if (/\.pdf$/i.test(file.name) || file.type === "application/pdf") return (await import("./pdf.ts")).pagesOf(file);
  const { decode } = await import("./plain.ts");
  const text = decode(new Uint8Array(await file.arrayBuffer()), [document.documentElement.lang, ...navigator.languages]);
  if (text === undefined) throw new Error(t("it is not text"));
  return [text];
}
