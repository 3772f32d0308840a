/** The engine that answers: loads a model in place of another, and says how that goes. */

import { createEngine, type Engine, type EngineOptions, QuireError } from "../src/index.ts";
import { words } from "./answer.ts";
import { element } from "./dom.ts";
import { t } from "./language.ts";
import { Live } from "./live.ts";
import { Loading } from "./loading.ts";
import { notify } from "./notice.ts";

export type Model = string | File;

export class Loader {
  engine: Engine | undefined;
  /** What was loaded last, or is being loaded. */
  model: Model | undefined;
  #loading = new Loading();
  readonly live = new Live();
  #load: AbortController | undefined;
  #options: () => Partial<EngineOptions>;
  #changed: () => void;

  constructor(options: () => Partial<EngineOptions>, changed: () => void) {
    this.#options = options;
    this.#changed = changed;
  }

  async load(model: Model): Promise<void> {
    this.#load?.abort();
    const mine = (this.#load = new AbortController());
    this.model = model;
    this.showTrouble();
    element("model").textContent = nameOf(model);
    element("adapter").textContent = "";
    this.live.end();
    await this.engine?.unload();
    this.engine = undefined;
    this.#loading.start();
    this.#changed();
    try {
      const loaded = await createEngine({
        model,
        ...this.#options(),
        signal: mine.signal,
        onProgress: (progress) => {
          if (this.#load === mine) this.#loading.show(progress);
        },
        onWarning: (warning) => notify(warning.message),
      });
      this.engine = loaded;
      this.live.start(loaded);
      // For the console.
      Object.assign(globalThis, { engine: loaded });
      element("model").textContent = loaded.info.name;
      element("adapter").textContent = loaded.info.adapter;
    } catch (error) {
      if (this.#load !== mine) return; // another model was chosen meanwhile
      const isUnsupported = error instanceof QuireError && error.code === "no_webgpu";
      this.showTrouble(
        isUnsupported ? t("This browser cannot run the model") : t("The model could not be loaded"),
        words(error),
        () => void this.load(model),
      );
    }
    if (this.#load === mine) this.#loading.end();
    this.#changed();
  }

  /** Says what is in the way and offers to try again; without arguments, that nothing is. */
  showTrouble(title = "", text = "", retry?: () => void): void {
    element("trouble-title").textContent = title;
    element("trouble-words").textContent = text;
    const button = element<HTMLButtonElement>("retry");
    button.hidden = !retry;
    button.onclick = retry ?? null;
    element("trouble").hidden = title === "";
    this.#changed();
  }
}

/** The last part of an address, without what follows a `?`. */
function nameOf(model: Model): string {
  if (typeof model !== "string") return model.name;
  try {
    return decodeURIComponent(new URL(model, location.href).pathname.split("/").pop() ?? model);
  } catch {
    return model;
  }
}
