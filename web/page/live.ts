/** What is behind the answers: how much of the model is here, the fill's button, and the experts. */

import type { Engine, FillProgress } from "../src/index.ts";
import { bytes, duration, Rate } from "./format.ts";
import { element } from "./dom.ts";
import { Grid } from "./grid.ts";
import { t } from "./language.ts";
import { Performance } from "./performance.ts";
import type { Server, Standing } from "./served.ts";

/** How often it is asked how things stand, at most. */
const ASK_MS = 400;
/** How often a server is asked while somebody looks: it tells nothing by itself. */
const SERVER_MS = 1000;

/** Where what is kept of the model lies: on this machine, on the server's, or nowhere but on the GPU, be it all of the model or not. */
type Where = "here" | "server" | "all on the GPU" | "GPU";

export class Live {
  #section = element("live");
  #details = element<HTMLDetailsElement>("experts");
  #words = element("fill-words");
  #bar = element<HTMLProgressElement>("fill-bar");
  #button = element<HTMLButtonElement>("fill");
  #grid = new Grid();
  readonly performance = new Performance();
  #rate = new Rate();
  /** That runs in this page; a server's fill is not for its guests to pause. */
  #engine: Engine | undefined;
  #stats: (() => Promise<Standing>) | undefined;
  #fill: FillProgress | undefined;
  #where: Where = "here";
  /** Bytes that the browser has room for of the model. */
  #room = Infinity;
  #ends: (() => void)[] = [];
  #isAsking = false;
  /** Something has happened since it was asked. */
  #isStale = false;

  constructor() {
    this.#button.addEventListener("click", () => {
      if (isGoing(this.#fill)) void this.#engine?.pauseFill();
      else void this.#engine?.resumeFill();
    });
    this.#details.addEventListener("toggle", () => this.#ask());
  }

  /** Watches an engine, in place of any other. */
  start(engine: Engine): void {
    this.#watch(() => engine.stats());
    this.#engine = engine;
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
  }

  /** Watches the server's model, in place of any other. */
  follow(server: Server): void {
    this.#watch(() => server.stats());
    const look = () => {
      if (!document.hidden && (this.#details.open || this.#fill?.state !== "done")) this.#ask();
    };
    const timer = setInterval(look, SERVER_MS);
    this.#ends = [() => clearInterval(timer)];
  }

  #watch(stats: () => Promise<Standing>): void {
    this.end();
    this.#stats = stats;
    this.#rate = new Rate();
    this.#isAsking = false;
    this.#ask();
  }

  /** Says all anew, as after a change of language. */
  refresh(): void {
    this.#ask();
  }

  end(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#engine = this.#stats = undefined;
    this.#section.hidden = true;
  }

  /** Asks for the stats soon, once for all that has happened meanwhile. */
  #ask(): void {
    this.#isStale = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    setTimeout(async () => {
      this.#isStale = false;
      const asked = this.#stats;
      const stats = await asked?.().catch(() => undefined);
      const isKept = this.#engine !== undefined && stats?.fill.state !== "done";
      const free = isKept ? await freeBytes() : Infinity;
      if (this.#stats !== asked) return;
      this.#isAsking = false;
      if (this.#isStale) this.#ask();
      this.#section.hidden = stats === undefined;
      this.#fill = stats?.fill;
      if (!stats) return;
      this.#where = whereIs(this.#engine, stats);
      this.#room = this.#where === "here" ? stats.fill.loaded + free : Infinity;
      this.#show(stats.fill);
      if (!this.#details.open) return;
      this.#grid.show(stats, this.#engine === undefined);
      this.performance.show(stats);
    }, ASK_MS);
  }

  #show(fill: FillProgress): void {
    this.#fill = fill;
    this.#section.hidden = false;
    const rate = this.#rate.add(fill.loaded);
    this.#words.textContent = words(fill, this.#where, rate, this.#room);
    this.#bar.value = fill.loaded / Math.max(1, fill.total);
    this.#bar.hidden = fill.state === "done";
    this.#button.hidden = fill.state === "done" || !this.#engine;
    this.#button.textContent = isGoing(fill) ? t("Pause") : t("Go on");
    this.#button.setAttribute("aria-label", isGoing(fill) ? t("Pause the download") : t("Go on with the download"));
  }
}

function whereIs(engine: Engine | undefined, { keeps, places }: Standing): Where {
  if (engine ? engine.info.cache !== "none" : keeps) return engine ? "here" : "server";
  return places.flat().every((place) => place === "gpu") ? "all on the GPU" : "GPU";
}

/** What the browser still lets this site keep; endless if it does not say. */
async function freeBytes(): Promise<number> {
  const { quota = 0, usage = 0 } = (await navigator.storage?.estimate().catch(() => undefined)) ?? {};
  return quota > 0 ? Math.max(0, quota - usage) : Infinity;
}

function isGoing(fill: FillProgress | undefined): boolean {
  return fill?.state === "waiting" || fill?.state === "running";
}

/**
 * How far the fill is, in words: of all of the model, or where nothing is kept, of what the GPU has room for. `rate` is bytes a second, `room`
 * how many can be kept.
 */
export function words({ state, loaded, total }: FillProgress, where: Where, rate?: number, room = Infinity): string {
  const share = "{part} % of the GPU's share is there, {loaded} of {size}";
  const said = {
    here: ["All of the model is here, {size}", "{part} % of the model is here, {loaded} of {size}"],
    server: ["All of the model is on the server, {size}", "{part} % of the model is on the server, {loaded} of {size}"],
    "all on the GPU": ["All of the model is on the GPU, {size}", share],
    GPU: ["{size} of the model are on the GPU, which is all it has room for", share],
  } as const;
  const [whole, partly] = said[where];
  const size = bytes(total);
  if (state === "done") return t(whole, { size });
  const parts = [t(partly, { part: Math.floor((loaded / Math.max(1, total)) * 100), loaded: bytes(loaded), size })];
  if (state === "waiting") parts.push(...(rate ? [`${bytes(rate)}/s`, t("for the first answer")] : [t("more comes with the first answer")]));
  if (state === "paused") parts.push(t("paused"));
  if (state === "stopped") parts.push(t("stopped"));
  if (state === "running" && rate) parts.push(`${bytes(rate)}/s`, t("{time} left", { time: duration((total - loaded) / rate) }));
  if (room < total) parts.push(t("the browser has room for {room}", { room: bytes(room) }));
  return parts.join(" · ");
}
