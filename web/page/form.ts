/** The dialog of the settings: what is changed holds at once, and is kept. */

import { create, element } from "./dom.ts";
import { t } from "./language.ts";
import { isWithin, ranges, save, type Settings } from "./settings.ts";
import { wrongIn } from "./tools.ts";

/** Numbers that are shown in units of their own: bytes in GB. */
const GB = 1e9;
const unitOf = (name: string) => (name.endsWith("Bytes") ? GB : 1);
const isNumber = (name: string): name is keyof typeof ranges => name in ranges;

export class SettingsForm {
  #form = element<HTMLFormElement>("settings-form");
  #reload = element<HTMLButtonElement>("reload-model");
  #settings: Settings;
  #changed: (name: string) => void;
  /** Tools as they were written last, if something is wrong with them: nobody writes them twice. */
  #draft: string | undefined;

  /** `changed` is told the name of every setting that changes, `reload` that the model is to be loaded anew. */
  constructor(settings: Settings, changed: (name: string) => void, reload: () => void) {
    this.#settings = settings;
    this.#changed = changed;
    const dialog = element<HTMLDialogElement>("settings");
    element("open-settings").addEventListener("click", () => {
      this.#show();
      dialog.showModal();
    });
    this.#form.addEventListener("change", ({ target }) => this.#take(target as HTMLInputElement));
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#reload.addEventListener("click", () => {
      dialog.close();
      reload();
    });
  }

  #show(): void {
    this.#reload.hidden = true;
    for (const input of this.#inputs()) {
      const { name } = input;
      const value = this.#settings[name as keyof Settings];
      input.value = value === undefined ? "" : String(typeof value === "number" ? value / unitOf(name) : value);
      if (name === "tools") {
        input.value = this.#draft ?? input.value;
        this.#judge(input, wrongIn(input.value));
      }
      if (!isNumber(name)) continue;
      const [least, most] = ranges[name].map((limit) => limit / unitOf(name));
      Object.assign(input, { min: least, max: most });
      input.title = t("from {least} to {most}", { least: least!, most: most! });
      this.#judge(input, "");
    }
  }

  #inputs(): HTMLInputElement[] {
    return [...this.#form.querySelectorAll<HTMLInputElement>("[name]")];
  }

  #take(input: HTMLInputElement): void {
    const { name, value } = input;
    if (isNumber(name)) {
      const number = Math.round(Number(value) * unitOf(name) * 1e6) / 1e6;
      // What a number input cannot read it gives as nothing.
      const isEmpty = value.trim() === "" && !input.validity.badInput;
      if (!isEmpty && !(isWithin(name, number) && !input.validity.badInput)) return this.#judge(input, input.title);
      this.#judge(input, "");
      if (isEmpty) delete this.#settings[name];
      else this.#settings[name] = number;
    } else if (name === "tools") {
      const wrong = wrongIn(value);
      this.#draft = wrong === "" ? undefined : value;
      this.#judge(input, wrong);
      if (wrong !== "") return;
      this.#settings.tools = value;
    } else Object.assign(this.#settings, { [name]: value });
    save(this.#settings);
    if (input.closest("fieldset")) this.#reload.hidden = false;
    this.#changed(name);
  }

  /** Says what is wrong with a value, if something is: it is not taken then. */
  #judge(input: HTMLInputElement, wrong: string): void {
    input.setCustomValidity(wrong);
    input.setAttribute("aria-invalid", String(wrong !== ""));
    input.removeAttribute("aria-describedby");
    input.parentElement?.querySelector(".wrong")?.remove();
    if (wrong === "") return;
    const note = create("small", "wrong", wrong);
    note.id = `${input.name}-wrong`;
    input.setAttribute("aria-describedby", note.id);
    input.after(note);
  }
}
