/** The download as the page shows it: bytes, rate, time left. */

import type { Progress } from "../src/index.ts";
import { bytes, duration, Rate } from "./format.ts";
import { element } from "./dom.ts";
import { t, type Text } from "./language.ts";

const words: Record<string, Text> = {
  header: "Reading what the model is made of",
  weights: "Fetching what every answer needs",
};

export class Loading {
  #section = element("loading");
  #phase = element("phase");
  #bar = element<HTMLProgressElement>("bar");
  #numbers = element("numbers");
  #rate = new Rate();
  #last = "";

  start(): void {
    this.#rate = new Rate();
    this.#last = "";
    this.#phase.textContent = t("Starting");
    this.#numbers.textContent = "";
    this.#bar.removeAttribute("value");
    this.#section.hidden = false;
  }

  show({ phase, loaded, total, model }: Progress): void {
    if (phase !== this.#last) {
      this.#last = phase;
      this.#rate = new Rate();
    }
    const said = words[phase] ? t(words[phase]) : phase;
    if (this.#phase.textContent !== said) this.#phase.textContent = said;
    const rate = this.#rate.add(loaded);
    if (total > 0) this.#bar.value = loaded / total;
    else this.#bar.removeAttribute("value");
    const parts = total > 0 ? [t("{loaded} of {total}", { loaded: bytes(loaded), total: bytes(total) })] : [];
    if (rate && loaded < total) {
      parts.push(`${bytes(rate)}/s`, t("{time} left", { time: duration((total - loaded) / rate) }));
    }
    if (model > total) parts.push(t("the model has {size}", { size: bytes(model) }));
    this.#numbers.textContent = parts.join(" · ");
  }

  end(): void {
    this.#section.hidden = true;
  }
}
