/** The experts on one canvas: a column for each layer, a cell for each expert, drawn when something has changed. */

import type { ExpertMap, PagingEvent, Place, Stats } from "../src/index.ts";
import { element } from "./dom.ts";
import { t } from "./language.ts";

/** How long a cell shows that it was just used. */
const USED_MS = 400;
/** Cells are no larger, and no smaller, than so many pixels of the page. */
const CELL = { most: 24, least: 4 };

export class Grid {
  #canvas = element<HTMLCanvasElement>("grid");
  #words = element("grid-words");
  #map: ExpertMap = { heat: [], places: [] };
  /** When each cell that was just used stops showing it, by `layer * experts + expert`. */
  #used = new Map<number, number>();
  #isDirty = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const redraw = () => this.#touch();
    new ResizeObserver(redraw).observe(this.#canvas.parentElement!);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  /** Shows what `stats()` says. */
  show(stats: Stats): void {
    this.#map = stats;
    this.#words.textContent = describe(stats);
    this.#touch();
  }

  /** Shows an event at once, before the next {@link show}. */
  tell(event: PagingEvent): void {
    if (event.type === "use") {
      const until = performance.now() + USED_MS;
      for (const expert of event.experts) this.#used.set(event.layer * this.#nExperts + expert, until);
      this.#touch();
    }
    const layer = event.type === "arrive" && this.#map.places[event.layer];
    if (layer) {
      layer[event.expert] = "gpu";
      this.#touch();
    }
  }

  get #nExperts(): number {
    return this.#map.places[0]?.length ?? 0;
  }

  #touch(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    requestAnimationFrame(() => {
      this.#isDirty = false;
      this.#draw();
    });
  }

  #draw(): void {
    const { places } = this.#map;
    const width = this.#canvas.parentElement!.clientWidth;
    if (width === 0 || this.#nExperts === 0) return;
    const ratio = devicePixelRatio;
    const cell = Math.max(CELL.least, Math.min(CELL.most, Math.floor(width / places.length)));
    this.#canvas.width = Math.round(places.length * cell * ratio);
    this.#canvas.height = Math.round(this.#nExperts * cell * ratio);
    this.#canvas.style.width = `${places.length * cell}px`;
    const context = this.#canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    const paint = { gpu: colour("gpu"), ram: colour("ram"), disk: colour("disk"), network: colour("network"), used: colour("used") };
    const now = performance.now();
    for (const [layer, experts] of places.entries()) {
      for (const [expert, place] of experts.entries()) {
        const until = this.#used.get(layer * this.#nExperts + expert) ?? 0;
        context.fillStyle = paint[until > now ? "used" : place];
        context.fillRect(layer * cell, expert * cell, cell - 1, cell - 1);
      }
    }
    this.#forget(now);
  }

  /** Draws again when the first of the used cells is to go out. */
  #forget(now: number): void {
    for (const [cell, until] of this.#used) if (until <= now) this.#used.delete(cell);
    clearTimeout(this.#timer);
    if (this.#used.size > 0) this.#timer = setTimeout(() => this.#touch(), Math.min(...this.#used.values()) - now);
  }
}

/** As the legend has it. */
function colour(name: Place | "used"): string {
  return getComputedStyle(document.querySelector(`.legend .${name}`)!, "::before").backgroundColor;
}

/** The grid in words. */
export function describe({ places, hits, misses, tokens, passes, stall_seconds }: Stats): string {
  const all = places.flat();
  if (all.length === 0) return t("This model has no experts: all of it is on the GPU.");
  const count = (place: Place) => all.filter((p) => p === place).length;
  const counts = { all: all.length, gpu: count("gpu"), ram: count("ram"), disk: count("disk"), network: count("network") };
  const said = t("Of {all} experts {gpu} on the GPU, {ram} in RAM, {disk} on this disk, {network} still on the network.", counts);
  if (tokens === 0) return said;
  const costs = { part: Math.round((hits / Math.max(1, hits + misses)) * 100), passes: (passes / tokens).toFixed(1), stall: stall_seconds.toFixed(1) };
  return `${said} ${t("{part} % of uses found theirs on the GPU; {passes} passes a token, {stall} s of waiting.", costs)}`;
}
