/** The conversation: what was said, shown as it comes. */

import { type ChatRequest, type Engine, type Message, QuireError } from "../src/index.ts";
import { create, element } from "./dom.ts";

/** One answer in the log: reasoning folded away, the answer itself, and a line on how it ended. */
class AnswerView {
  readonly root = create("article", "assistant waiting");
  #details = create("details");
  #summary = create("summary", "", "Thinking…");
  #reasoning = create("div", "text");
  #answer = create("div", "text answer");
  #note = create("p", "note");

  constructor() {
    this.root.setAttribute("aria-label", "Answer");
    this.#details.append(this.#summary, this.#reasoning);
    this.#details.hidden = true;
    this.#note.hidden = true;
    this.root.append(this.#details, this.#answer, this.#note);
  }

  addReasoning(text: string): void {
    this.#details.hidden = false;
    this.#reasoning.append(text);
  }

  addAnswer(text: string): void {
    this.#summary.textContent = "Reasoning";
    this.#answer.append(text);
  }

  end(note = "", isTrouble = false): void {
    this.root.classList.remove("waiting");
    this.#summary.textContent = "Reasoning";
    this.#note.hidden = note === "";
    this.#note.textContent = note;
    this.#note.classList.toggle("trouble", isTrouble);
  }
}

export class Chat {
  #log = element("log");
  #speed = element("speed");
  #history: Message[] = [];
  #running: AbortController | undefined;

  get isEmpty(): boolean {
    return this.#history.length === 0;
  }

  stop(): void {
    this.#running?.abort();
  }

  /** Forgets the conversation. */
  clear(): void {
    this.stop();
    this.#history = [];
    this.#log.replaceChildren();
    this.#speed.textContent = "";
  }

  /** Puts `text` to the engine and shows the answer. Never rejects: trouble is shown where the answer would be. */
  async ask(engine: Engine, text: string): Promise<void> {
    const asked: Message = { role: "user", content: text };
    const history = (this.#history = [...this.#history, asked]);
    const said = create("article", "user text", text);
    said.setAttribute("aria-label", "You");
    const view = new AnswerView();
    this.#log.append(said, view.root);
    this.#log.setAttribute("aria-busy", "true");
    this.#follow(true);
    const controller = (this.#running = new AbortController());
    const answer: Message = { role: "assistant", content: "" };
    let finish = "";
    try {
      const stream = await engine.chat.completions.create(
        { ...settings(location.search), messages: history, stream: true, stream_options: { include_usage: true } },
        { signal: controller.signal },
      );
      const meter = new Meter();
      for await (const chunk of stream) {
        const choice = chunk.choices[0];
        const { reasoning, content } = choice?.delta ?? {};
        const isNear = this.#isAtEnd();
        if (reasoning) {
          answer.reasoning = (answer.reasoning ?? "") + reasoning;
          view.addReasoning(reasoning);
        }
        if (content) {
          answer.content += content;
          view.addAnswer(content);
        }
        if (reasoning || content) this.#speed.textContent = meter.tick();
        if (chunk.usage) this.#speed.textContent = meter.total(chunk.usage.completion_tokens);
        finish = choice?.finish_reason ?? finish;
        this.#follow(isNear);
      }
      view.end(finish === "length" ? "The answer was cut: it reached the longest length allowed." : "");
    } catch (error) {
      const isAbort = error instanceof DOMException && error.name === "AbortError";
      view.end(isAbort ? "Stopped." : words(error), !isAbort);
    } finally {
      if (this.#running === controller) this.#running = undefined;
      this.#log.setAttribute("aria-busy", "false");
    }
    // A conversation that was cleared meanwhile stays cleared.
    if (this.#history === history && (answer.content || answer.reasoning)) this.#history = [...history, answer];
  }

  #isAtEnd(): boolean {
    const page = document.documentElement;
    return page.scrollHeight - page.scrollTop - page.clientHeight < 80;
  }

  #follow(isWanted: boolean): void {
    if (isWanted) document.documentElement.scrollTop = document.documentElement.scrollHeight;
  }
}

/** What the page's own address asks of every answer, such as `?temperature=0&reasoning_effort=low`. */
export function settings(query: string): Partial<ChatRequest> {
  const asked = new URLSearchParams(query);
  const found: Partial<ChatRequest> = {};
  for (const name of ["temperature", "top_p", "seed", "max_tokens"] as const) {
    const value = asked.get(name);
    if (value?.trim() && Number.isFinite(Number(value))) found[name] = Number(value);
  }
  const effort = asked.get("reasoning_effort");
  if (effort === "low" || effort === "medium" || effort === "high") found.reasoning_effort = effort;
  return found;
}

/** Tokens a second, from the first token on: before it lies the prompt. */
class Meter {
  #first = 0;
  #last = 0;
  #pieces = 0;

  tick(): string {
    this.#last = performance.now();
    this.#first ||= this.#last;
    this.#pieces += 1;
    return this.#rate(this.#pieces);
  }

  /** As {@link tick}, once the number of tokens is known. */
  total(tokens: number): string {
    return this.#rate(tokens);
  }

  #rate(tokens: number): string {
    const seconds = (this.#last - this.#first) / 1000;
    return seconds > 0 && tokens > 1 ? `${((tokens - 1) / seconds).toFixed(1)} tok/s` : "";
  }
}

/** An error as a sentence. */
export function words(error: unknown): string {
  if (error instanceof QuireError && error.code === "device_lost") {
    return `The graphics processor was lost: ${error.message} Reload the page to go on.`;
  }
  return error instanceof Error ? error.message : String(error);
}
