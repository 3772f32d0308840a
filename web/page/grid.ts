/** The experts on one canvas: a column for each layer, a cell for each expert, drawn when something has changed. */

import type { ExpertMap, PagingEvent, Place } from "../src/index.ts";
import { element } from "./dom.ts";
import { sentences, t } from "./language.ts";
import type { Standing } from "./served.ts";

/** How long a cell shows that it was just used; where that is seen now and then alone, until it is seen again. */
const USED_MS = 400;
const SEEN_MS = 1200;
/** Cells are no larger, and no smaller, than so many pixels of the page. */
const CELL = { most: 24, least: 4 };
/** How much of the panel's height is the grid's at most: what stands below is seen to be there. */
const SHARE = 0.8;

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

  /** Shows what `stats()` says; where no {@link tell} says what was used, also what must have been since the last time. */
  show(stats: Standing, isAlone: boolean): void {
    const { heat } = this.#map;
    this.#map = stats;
    if (isAlone) usedBetween(heat, stats.heat).forEach((experts, layer) => this.#use(layer, experts, SEEN_MS));
    this.#words.textContent = describe(stats);
    this.#touch();
  }

  /** Shows an event at once, before the next {@link show}. */
  tell(event: PagingEvent): void {
    if (event.type === "use") {
      this.#use(event.layer, event.experts);
      this.#touch();
    }
    const layer = event.type === "arrive" && this.#map.places[event.layer];
    if (layer) {
      layer[event.expert] = "gpu";
      this.#touch();
    }
  }

  #use(layer: number, experts: number[], ms = USED_MS): void {
    const until = performance.now() + ms;
    for (const expert of experts) this.#used.set(layer * this.#nExperts + expert, until);
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
    const panel = this.#canvas.parentElement!;
    const width = panel.clientWidth;
    if (width === 0 || this.#nExperts === 0) return;
    const ratio = devicePixelRatio;
    const height = SHARE * parseFloat(getComputedStyle(panel).maxHeight);
    const cell = Math.max(CELL.least, Math.min(CELL.most, Math.floor(Math.min(width / places.length, height / this.#nExperts))));
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

/**
 * By layer, the experts whose heat has fallen less than that of others of their layer, all of which falls alike where none is used; nothing
 * where there is no heat of before.
 */
export function usedBetween(before: number[][], now: number[][]): number[][] {
  return now.map((heats, layer) => {
    const was = (expert: number) => before[layer]?.[expert];
    const left = Math.min(...heats.map((heat, expert) => heat / (was(expert) || Infinity)).filter((part) => part > 0), 1);
    return [...heats.keys()].filter((expert) => was(expert) !== undefined && heats[expert]! > was(expert)! * left * 1.001 + 1e-6);
  });
}

/** As the legend has it. */
function colour(name: Place | "used"): string {
  return getComputedStyle(document.querySelector(`.legend .${name}`)!, "::before").backgroundColor;
}

/** The grid in words. */
export function describe({ places, hits, misses, tokens, passes, stall_seconds }: Standing): string {
  const all = places.flat();
  if (all.length === 0) return t("This model has no experts: all of it is on the GPU.");
  const count = (place: Place) => all.filter((p) => p === place).length;
  const counts = { all: all.length, gpu: count("gpu"), ram: count("ram"), disk: count("disk"), network: count("network") };
  const said = t("Of {all} experts {gpu} on the GPU, {ram} in RAM, {disk} on disk, {network} still on the network.", counts);
  if (tokens === 0) return said;
  const costs = { part: Math.round((hits / Math.max(1, hits + misses)) * 100), passes: (passes / tokens).toFixed(1), stall: stall_seconds.toFixed(1) };
  return sentences(said, t("{part} % of uses found theirs on the GPU; {passes} passes a token, {stall} s of waiting.", costs));
}
