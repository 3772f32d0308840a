/** Turns as the log shows them: what was said, how it ended, and what can be done with it. */

import type { ToolCall } from "../src/index.ts";
import { ofFull } from "./answer.ts";
import { callView, resultForm, resultView, typedFor } from "./calls.ts";
import { copyButton } from "./copy.ts";
import { asking, create, iconButton, textButton } from "./dom.ts";
import { openEditor } from "./editor.ts";
import { sentences, t } from "./language.ts";
import { cited, type Passage } from "./passages.ts";
import { RichText } from "./rich.ts";
import type { Tree, Turn } from "./tree.ts";

/** What a person does with a turn. */
export interface Actions {
  choose(turn: Turn): void;
  /** Puts another turn in the place of this one, which stays beside it. */
  edit(turn: Turn, text: string): void;
  regenerate(turn: Turn): void;
  resume(turn: Turn): void;
  /** Says what the calls of a turn came to. */
  reply(turn: Turn, results: string[]): void;
  /** An editor was closed, and nothing else. */
  edited(): void;
}

export interface TurnView {
  readonly root: HTMLElement;
  /** Shows the turn as it is now. */
  update(isGoing: boolean): void;
  /** Opens the editor, of what a person said. */
  edit?(): void;
}

export function viewOf(tree: Tree, turn: Turn, actions: Actions): TurnView {
  if (turn.message.role === "assistant") return new AnswerView(tree, turn, actions);
  return turn.results ? new ResultsView(tree, turn, turn.results, actions) : new QuestionView(tree, turn, actions);
}

class QuestionView implements TurnView {
  readonly root = create("article", "user");
  readonly edit: () => void;
  #text = create("div", "text");

  constructor(tree: Tree, turn: Turn, actions: Actions) {
    const said = turn.message.content ?? "";
    this.root.setAttribute("aria-label", t("You"));
    this.#text.textContent = said;
    const opener = asking(iconButton("pencil", t("Edit"), () => this.edit()));
    const words = { text: said, label: t("Edit the message"), action: t("Ask again") };
    const take = (text: string) => actions.edit(turn, text.trim());
    this.edit = () => openEditor(this.root, opener, { ...words, take, closed: () => actions.edited() });
    const tools = create("div", "tools");
    tools.append(...places(tree, turn, actions), copyButton(() => said), opener);
    this.root.append(this.#text, ...passagesView(t("Passages from the documents"), turn.passages ?? []), tools);
  }

  update(): void {}
}

/** What calls came to. */
class ResultsView implements TurnView {
  readonly root = create("article", "tool");

  constructor(tree: Tree, turn: Turn, results: string[], actions: Actions) {
    const called = tree.before(turn);
    const { tool_calls: calls = [] } = called?.message ?? {};
    this.root.setAttribute("aria-label", t("Result"));
    const edit = () => {
      const form = resultForm(calls, [...results], (results) => called && actions.reply(called, results), close);
      form.classList.add("editor");
      this.root.classList.add("edited");
      this.root.append(form);
      form.querySelector("textarea")?.focus();
    };
    const close = () => {
      this.root.querySelector("form")?.remove();
      this.root.classList.remove("edited");
      opener.focus();
      actions.edited();
    };
    const opener = asking(iconButton("pencil", t("Edit the result"), edit));
    const tools = create("div", "tools");
    tools.append(...places(tree, turn, actions), copyButton(() => results.join("\n\n")), opener);
    this.root.append(...calls.map((call, n) => resultView(call, results[n] ?? "")), tools);
  }

  update(): void {}
}

/** Reasoning folded away, calls of tools, the answer itself, and a line on how it ended. */
class AnswerView implements TurnView {
  readonly root = create("article", "assistant");
  #tree: Tree;
  #turn: Turn;
  #reply: (results: string[]) => void;
  #details = create("details", "reasoning");
  #summary = create("summary");
  #reasoning = create("div", "text");
  #calls = create("div", "calls");
  /** Whether what the calls came to is being asked. */
  #isPending = false;
  #answer = create("div", "answer");
  #text = new RichText(this.#answer);
  #sources = create("div");
  #passages: Passage[];
  #note = create("p", "note");
  #resume: HTMLButtonElement;
  #tools = create("div", "tools");

  constructor(tree: Tree, turn: Turn, actions: Actions) {
    [this.#tree, this.#turn] = [tree, turn];
    this.#reply = (results) => actions.reply(turn, results);
    this.#passages = tree.asked(turn)?.passages ?? [];
    this.root.setAttribute("aria-label", t("Answer"));
    this.#details.append(this.#summary, this.#reasoning);
    this.#resume = asking(textButton(t("Continue"), () => actions.resume(turn), "resume"));
    const opener = asking(iconButton("pencil", t("Edit the answer"), () => edit()));
    const words = { label: t("Answer"), action: t("Save"), isLong: true };
    const take = (text: string) => actions.edit(turn, text);
    const edit = () => openEditor(this.root, opener, { ...words, text: turn.message.content ?? "", take, closed: () => actions.edited() });
    const again = asking(iconButton("again", t("Regenerate"), () => actions.regenerate(turn)));
    this.#tools.append(...places(tree, turn, actions), copyButton(() => turn.message.content ?? ""), opener, again, this.#resume);
    this.root.append(this.#details, this.#calls, this.#answer, this.#sources, this.#note, this.#tools);
  }

  update(isGoing: boolean): void {
    const { message, end, trouble } = this.#turn;
    const { content, reasoning = "", tool_calls = [] } = message;
    this.root.classList.toggle("waiting", isGoing);
    this.#details.hidden = reasoning === "";
    this.#summary.textContent = isGoing && !content && tool_calls.length === 0 ? t("Thinking…") : t("Reasoning");
    extend(this.#reasoning, reasoning);
    this.#showCalls(tool_calls, !isGoing && this.#tree.isPending(this.#turn));
    this.#text.show(content ?? "", !isGoing);
    if (!isGoing) this.#sources.replaceChildren(...passagesView(t("Sources"), this.#passages, cited(content ?? "", this.#passages)));
    const note = isGoing ? "" : noteOf(end, trouble);
    this.#note.hidden = note === "";
    this.#note.textContent = note;
    this.#note.classList.toggle("trouble", end === "failed");
    this.#tools.hidden = isGoing;
    const isCut = end !== undefined && end !== "stop";
    this.#resume.hidden = !isCut || tool_calls.length > 0 || !(content || reasoning);
  }

  #showCalls(calls: ToolCall[], isPending: boolean): void {
    // Somebody may be typing there.
    if (isPending && this.#isPending) return;
    this.#isPending = isPending;
    const shown = isPending ? [resultForm(calls, typedFor(this.#turn.id), this.#reply)] : calls.map((call) => callView(call));
    this.#calls.replaceChildren(...shown);
  }
}

function noteOf(end: Turn["end"], trouble = ""): string {
  switch (end) {
    case "length":
      return t("The answer was cut: it reached the longest length allowed.");
    case "full":
      return sentences(t("The answer was cut: the context is full."), ofFull());
    case "stopped":
      return t("Stopped.");
    case "going":
      return t("Interrupted.");
    case "failed":
      return trouble;
    default:
      return "";
  }
}

/** Makes the text of `element` be `text`, touching only what is new. */
function extend(element: HTMLElement, text: string): void {
  const shown = element.textContent ?? "";
  if (text === shown) return;
  if (text.startsWith(shown)) element.append(text.slice(shown.length));
  else element.textContent = text;
}

/** Passages to be unfolded, all or those of some numbers; nothing if there are none. */
function passagesView(title: string, passages: Passage[], numbers = [...passages.keys()]): HTMLElement[] {
  if (numbers.length === 0) return [];
  const details = create("details", "passages");
  details.append(create("summary", "", title));
  for (const n of numbers) {
    const { source = "", text = "" } = passages[n] ?? {};
    const item = create("blockquote");
    item.append(create("cite", "", `[${n + 1}] ${source}`), create("div", "text", text));
    details.append(item);
  }
  return [details];
}

/** Which of the turns in this place is shown, and the way to the others; nothing if it is alone. */
function places(tree: Tree, turn: Turn, actions: Actions): HTMLElement[] {
  const all = tree.places(turn);
  if (all.length < 2) return [];
  const at = all.indexOf(turn);
  const step = (icon: "left" | "right", label: string, to: Turn | undefined) => {
    const button = iconButton(icon, label, () => to && actions.choose(to));
    button.disabled = !to;
    return button;
  };
  const group = create("div", "places");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", t("Versions"));
  const count = create("span", "", t("{n} of {all}", { n: at + 1, all: all.length }));
  group.append(step("left", t("Previous version"), all[at - 1]), count, step("right", t("Next version"), all[at + 1]));
  return [group];
}
