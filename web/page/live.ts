/** What is behind the answers: how much of the model is here, the fill's button, and the experts. */

import type { Engine, FillProgress } from "../src/index.ts";
import { bytes, duration, Rate } from "./format.ts";
import { element } from "./dom.ts";
import { Grid } from "./grid.ts";
import { t } from "./language.ts";
import { Performance } from "./performance.ts";

/** How often the engine is asked how things stand, at most. */
const ASK_MS = 400;

export class Live {
  #section = element("live");
  #details = element<HTMLDetailsElement>("experts");
  #words = element("fill-words");
  #bar = element<HTMLProgressElement>("fill-bar");
  #button = element<HTMLButtonElement>("fill");
  #grid = new Grid();
  readonly performance = new Performance();
  #rate = new Rate();
  #engine: Engine | undefined;
  #fill: FillProgress | undefined;
  #ends: (() => void)[] = [];
  #isAsking = false;

  constructor() {
    this.#button.addEventListener("click", () => {
      if (isGoing(this.#fill)) void this.#engine?.pauseFill();
      else void this.#engine?.resumeFill();
    });
    this.#details.addEventListener("toggle", () => this.#ask());
  }

  /** Watches an engine, in place of any other. */
  start(engine: Engine): void {
    this.end();
    this.#engine = engine;
    this.#rate = new Rate();
    this.#ends = [
      engine.on("fill", (fill) => {
        this.#show(fill);
        this.#ask();
      }),
      engine.on("paging", (event) => {
        if (this.#details.open) this.#grid.tell(event);
        this.#ask();
      }),
    ];
    this.#ask();
  }

  /** Says all anew, as after a change of language. */
  refresh(): void {
    this.#ask();
  }

  end(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#engine = undefined;
    this.#section.hidden = true;
  }

  /** Asks for the stats soon, once for all that has happened meanwhile. */
  #ask(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    setTimeout(async () => {
      this.#isAsking = false;
      const engine = this.#engine;
      const stats = await engine?.stats().catch(() => undefined);
      if (!stats || this.#engine !== engine) return;
      this.#show(stats.fill);
      if (!this.#details.open) return;
      this.#grid.show(stats);
      this.performance.show(stats);
    }, ASK_MS);
  }

  #show(fill: FillProgress): void {
    this.#fill = fill;
    this.#section.hidden = false;
    const rate = this.#rate.add(fill.loaded);
    this.#words.textContent = words(fill, this.#engine?.info.cache !== "none", rate);
    this.#bar.value = fill.loaded / Math.max(1, fill.total);
    this.#bar.hidden = fill.state === "done";
    this.#button.hidden = fill.state === "done";
    this.#button.textContent = isGoing(fill) ? t("Pause") : t("Go on");
    this.#button.setAttribute("aria-label", isGoing(fill) ? t("Pause the download") : t("Go on with the download"));
  }
}

function isGoing(fill: FillProgress | undefined): boolean {
  return fill?.state === "waiting" || fill?.state === "running";
}

/** How far the fill is, in words: of the model on this machine, or where nothing is kept, of the GPU. `rate` is bytes a second. */
export function words({ state, loaded, total }: FillProgress, isKept: boolean, rate?: number): string {
  const size = bytes(total);
  if (state === "done") {
    return isKept ? t("All of the model is here, {size}", { size }) : t("{size} of the model are on the GPU, which is all it has room for", { size });
  }
  const part = Math.floor((loaded / Math.max(1, total)) * 100);
  const values = { part, loaded: bytes(loaded), size };
  const parts = [
    isKept
      ? t("{part} % of the model is here, {loaded} of {size}", values)
      : t("{part} % of the GPU's share is there, {loaded} of {size}", values),
  ];
  if (state === "waiting") parts.push(t("more comes with the first answer"));
  if (state === "paused") parts.push(t("paused"));
  if (state === "stopped") parts.push(t("stopped"));
  if (state === "running" && rate) parts.push(`${bytes(rate)}/s`, t("{time} left", { time: duration((total - loaded) / rate) }));
  return parts.join(" · ");
}
