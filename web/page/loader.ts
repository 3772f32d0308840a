/** The engine that answers: loads a model in place of another, or connects to the server, and says how that goes. */

import { createEngine, type Engine, type EngineOptions, QuireError } from "../src/index.ts";
import { words } from "./answer.ts";
import { element } from "./dom.ts";
import { mark, t } from "./language.ts";
import { Live } from "./live.ts";
import { Loading } from "./loading.ts";
import { notify } from "./notice.ts";
import { connect, lastKey, Refusal, rememberKey, type Talker } from "./served.ts";

export type Model = string | File;

export class Loader {
  engine: Talker | undefined;
  /** What was loaded last, or is being loaded. */
  model: Model | undefined;
  #loaded: Engine | undefined;
  #loading = new Loading();
  readonly live = new Live();
  #forget = element<HTMLButtonElement>("forget-key");
  #load: AbortController | undefined;
  #options: () => Partial<EngineOptions>;
  #changed: () => void;

  constructor(options: () => Partial<EngineOptions>, changed: () => void) {
    this.#options = options;
    this.#changed = changed;
    this.#forget.addEventListener("click", () => void this.#forgetKey());
  }

  async load(model: Model): Promise<void> {
    this.#load?.abort();
    const mine = (this.#load = new AbortController());
    this.model = model;
    this.showTrouble();
    element("model").textContent = nameOf(model);
    element("adapter").textContent = "";
    this.live.end();
    await this.#loaded?.unload();
    this.engine = this.#loaded = undefined;
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
        onWarning: (warning) => notify(words(warning)),
      });
      this.engine = this.#loaded = loaded;
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

  /** Has the server that the page comes from answer. */
  async connect(key = lastKey()): Promise<void> {
    this.showTrouble();
    try {
      const server = await connect(key);
      rememberKey(key);
      this.#forget.hidden = key === "";
      this.engine = server;
      this.live.follow(server);
      element("model").textContent = server.model;
      element("adapter").textContent = "answered by the server";
      mark(element("adapter"));
    } catch (error) {
      const wantsKey = error instanceof Refusal && error.status === 401;
      if (wantsKey) this.#askForKey(key !== "");
      else this.showTrouble(t("The server cannot be reached"), words(error), () => void this.connect(key));
    }
    this.#changed();
  }

  /** As if this were the first visit. */
  async #forgetKey(): Promise<void> {
    rememberKey("");
    this.#forget.hidden = true;
    this.engine = undefined;
    this.live.end();
    element("model").textContent = element("adapter").textContent = "";
    await this.connect("");
  }

  #askForKey(isWrong: boolean): void {
    this.showTrouble(t("This server asks for a key"), isWrong ? t("It does not know this one.") : "");
    const form = element<HTMLFormElement>("key-form");
    const input = element<HTMLInputElement>("key");
    form.hidden = false;
    form.reset();
    form.onsubmit = (event) => {
      event.preventDefault();
      void this.connect(input.value);
    };
    input.focus();
  }

  /** Says what is in the way and offers to try again; without arguments, that nothing is. */
  showTrouble(title = "", text = "", retry?: () => void): void {
    element("trouble-title").textContent = title;
    element("trouble-words").textContent = text;
    const button = element<HTMLButtonElement>("retry");
    button.hidden = !retry;
    button.onclick = retry ?? null;
    element("key-form").hidden = true;
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
