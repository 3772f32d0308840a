/** Choosing a model: the catalogue, an address, or a file. */

import { create, element } from "./dom.ts";
import { mark } from "./language.ts";

/** An entry of `catalogue.json` that is on the web, or of `config.json`. */
export interface Choice {
  title: string;
  about: string;
  url: string;
}

/** What the server says of itself: that it answers with its own model; or the model to begin with, and those it has. Absent on a plain host. */
interface Config {
  server?: boolean;
  model?: string;
  models?: Choice[];
}

async function json<T>(path: string): Promise<T | undefined> {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? ((await answer.json()) as T) : undefined;
  } catch {
    return undefined;
  }
}

/** The address of the model to load, and what else there is; or that the server answers. */
export async function available(): Promise<{ first: string | undefined; choices: Choice[]; isServed: boolean }> {
  const config = await json<Config>("config.json");
  if (config?.server) return { first: undefined, choices: [], isServed: true };
  const catalogue = await json<{ models: Partial<Choice>[] }>("catalogue.json");
  const onWeb = (catalogue?.models ?? []).filter((choice): choice is Choice => choice.url !== undefined);
  const choices = [...(config?.models ?? []), ...onWeb];
  const asked = new URLSearchParams(location.search).get("model");
  return { first: asked ?? config?.model, choices, isServed: false };
}

const KEY = "quire-model";

/** The address that was chosen last, on a host that names no model itself. */
export function lastModel(): string | undefined {
  try {
    return localStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined; // storage is forbidden
  }
}

export function remember(model: string | File): void {
  try {
    // A file has to be chosen anew at every visit.
    if (typeof model === "string") localStorage.setItem(KEY, model);
  } catch {
    // Then the next visit begins without one.
  }
}

/** Shows the dialog's choices and reports the one that is taken. */
export function offer(choices: Choice[], take: (model: string | File) => void): void {
  const dialog = element<HTMLDialogElement>("models");
  const chosen = (model: string | File) => {
    dialog.close();
    take(model);
  };
  element("catalogue").replaceChildren(
    ...choices.map(({ title, about, url }) => {
      const button = create("button", "", title);
      button.type = "button";
      const small = create("small", "", about);
      button.append(small);
      mark(small);
      button.addEventListener("click", () => chosen(url));
      const item = create("li");
      item.append(button);
      return item;
    }),
  );
  for (const id of ["choose", "choose-first"]) {
    const button = element<HTMLButtonElement>(id);
    button.addEventListener("click", () => dialog.showModal());
    // Before there is something to choose from a click would do nothing.
    button.disabled = false;
  }
  element("other").addEventListener("submit", (event) => {
    event.preventDefault();
    chosen(element<HTMLInputElement>("address").value);
  });
  element<HTMLInputElement>("file").addEventListener("change", ({ currentTarget }) => {
    const input = currentTarget as HTMLInputElement;
    const file = input.files?.[0];
    input.value = "";
    if (file) chosen(file);
  });
}
