/** Numbers as people read them. */

import { t } from "./language.ts";

/** Bytes in decimal units, as disks and downloads count them. */
export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${n.toFixed(unit === 0 || n >= 100 ? 0 : 1)} ${units[unit]}`;
}

export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return t("{n} s", { n: whole });
  if (whole < 3600) return t("{n} min", { n: Math.ceil(whole / 60) });
  return t("{h} h {n} min", { h: Math.floor(whole / 3600), n: Math.floor((whole % 3600) / 60) });
}

/** Rate over the last seconds, from totals as they grow. */
export class Rate {
  static readonly windowMs = 5000;
  #samples: { at: number; total: number }[] = [];

  /** Takes the total so far; gives the rate per second, or `undefined` while there is none to speak of. */
  add(total: number, at = performance.now()): number | undefined {
    const first = this.#samples[0];
    if (first && total < first.total) this.#samples = [];
    this.#samples.push({ at, total });
    while (this.#samples.length > 2 && at - this.#samples[0]!.at > Rate.windowMs) this.#samples.shift();
    const since = this.#samples[0]!;
    return at - since.at < 250 ? undefined : ((total - since.total) / (at - since.at)) * 1000;
  }
}
