/** How fast answers come and what they cost, in a few numbers. */

import type { Pace } from "./answer.ts";
import { create, element } from "./dom.ts";
import { bytes } from "./format.ts";
import { t } from "./language.ts";
import type { Standing } from "./served.ts";

export class Performance {
  #list = element("numbers-of");
  #pace: Pace | undefined;
  #stats: Standing | undefined;

  paced(pace: Pace): void {
    this.#pace = pace;
    this.#draw();
  }

  show(stats: Standing): void {
    this.#stats = stats;
    this.#draw();
  }

  #draw(): void {
    const rows = [...ofPace(this.#pace), ...(this.#stats ? ofStats(this.#stats) : [])];
    this.#list.replaceChildren(
      ...rows.map(([name, value]) => {
        const row = create("div");
        row.append(create("dt", "", name), create("dd", "", value));
        return row;
      }),
    );
  }
}

type Row = [name: string, value: string];

export function ofPace(pace: Pace | undefined): Row[] {
  if (!pace) return [];
  const { tokensPerSecond, promptTokens, timings } = pace;
  const rate = timings?.decode_tps || tokensPerSecond;
  const rows: Row[] = [];
  if (rate) rows.push([t("Speed"), `${rate.toFixed(1)} tok/s`]);
  if (timings && promptTokens) {
    rows.push([t("Prompt"), t("{n} tokens in {s} s", { n: promptTokens, s: timings.prefill_seconds.toFixed(1) })]);
  }
  return rows;
}

export function ofStats({ hits, misses, tokens, passes, stall_seconds, bytes_gpu, bytes_network, bytes_disk, bytes_ram, requests }: Standing): Row[] {
  const rows: Row[] = [];
  if (requests) rows.push([t("Requests at the server"), t("{n}, of which {waiting} wait", { n: requests.in_hand, waiting: requests.waiting })]);
  if (tokens > 0) rows.push([t("Passes a token"), (passes / tokens).toFixed(2)]);
  if (hits + misses > 0) {
    rows.push([t("Experts found"), t("{hits} of {all}", { hits, all: hits + misses })]);
    rows.push([t("Waited for experts"), t("{n} s", { n: stall_seconds.toFixed(1) })]);
  }
  rows.push([t("To the GPU"), bytes(bytes_gpu)]);
  rows.push([t("From network, disk, RAM"), [bytes_network, bytes_disk, bytes_ram].map(bytes).join(", ")]);
  return rows;
}
