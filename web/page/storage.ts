/** What is in the dialog of what is kept on this machine: models, how much of each, and the way to be rid of them. */

import { cache, type CachedFile } from "../src/index.ts";
import { words } from "./answer.ts";
import { create, element, textButton } from "./dom.ts";
import { bytes } from "./format.ts";
import { sentences, t } from "./language.ts";

export async function show(): Promise<void> {
  const [list, space] = [element("kept"), element("space")];
  try {
    const files = await cache.list();
    list.replaceChildren(...files.map(itemOf));
    if (files.length === 0) list.append(create("li", "none", t("No model is kept here yet.")));
    const { usage, quota, persisted } = await cache.estimate();
    const parts = [t("{used} of {quota} that the browser allows.", { used: bytes(usage), quota: bytes(quota) })];
    parts.push(persisted ? t("It keeps them until you remove them.") : t("It may clear them when the disk fills up."));
    space.textContent = sentences(...parts);
  } catch (error) {
    space.textContent = words(error);
  }
}

function itemOf({ url, size, kept }: CachedFile): HTMLLIElement {
  const { hostname, pathname } = new URL(url);
  const name = decode(pathname.split("/").pop() ?? url);
  const item = create("li");
  const about = create("div");
  const amount = kept === size ? bytes(size) : t("{loaded} of {total}", { loaded: bytes(kept), total: bytes(size) });
  about.append(create("span", "", name), create("small", "", `${amount} · ${hostname}`));
  const bar = create("progress");
  [bar.max, bar.value] = [Math.max(1, size), kept];
  bar.setAttribute("aria-label", t("Of {name}, on this machine", { name }));
  about.append(bar);
  item.append(about, remover(url, name, kept));
  return item;
}

/** A button that is pressed twice: what took an hour to come is not to go by mistake. */
function remover(url: string, name: string, kept: number): HTMLButtonElement {
  const button = textButton(t("Remove"), async () => {
    if (!button.classList.contains("wrong")) {
      button.classList.add("wrong");
      button.textContent = t("Remove {size}?", { size: bytes(kept) });
      return;
    }
    button.disabled = true;
    await cache.remove(url).catch((error: unknown) => (element("space").textContent = words(error)));
    await show();
  });
  button.setAttribute("aria-description", name);
  button.addEventListener("blur", () => {
    button.classList.remove("wrong");
    button.textContent = t("Remove");
  });
  return button;
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
