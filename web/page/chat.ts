/** The conversation that is shown, and the answer that is under way: perhaps in another one. */

import type { ChatRequest, Message } from "../src/index.ts";
import { answer, type Pace, words } from "./answer.ts";
import { element, holdFocus } from "./dom.ts";
import { t } from "./language.ts";
import { notify } from "./notice.ts";
import type { Document, Passage } from "./passages.ts";
import type { Talker } from "./served.ts";
import * as shelf from "./shelf.ts";
import { beginAnswer, isAnswered } from "./tabs.ts";
import { type Head, Tree, type Turn } from "./tree.ts";
import { type Actions, type TurnView, viewOf } from "./turns.ts";

/** How often an answer under way is kept, at most. */
const KEEP_MS = 500;

/** What the page around it gives a chat. */
export interface Around {
  engine(): Talker | undefined;
  /** What every request says beside its messages. */
  request(): Partial<ChatRequest>;
  /** What stands before the first message. */
  before(): Message[];
  /** Something is other than before: which conversation is shown, whether an answer is under way. */
  changed(): void;
  /** A control that had the focus is there no more. */
  focusLost(): void;
  paced(pace: Pace): void;
}

interface Answering {
  tree: Tree;
  turn: Turn;
  controller: AbortController;
  keptAt: number;
}

export class Chat implements Actions {
  #log = element("log");
  #around: Around;
  #tree = Tree.begin();
  #views = new Map<string, TurnView>();
  #answering: Answering | undefined;
  /** For which something is looked up, before an answer. */
  #searching: Tree | undefined;
  /** Deleted while they were shown or answered: to be kept no more. */
  #forgotten = new WeakSet<Tree>();
  /** Something of them could not be kept: to be kept whole. */
  #unkept = new WeakSet<Tree>();

  constructor(around: Around) {
    this.#around = around;
  }

  get tree(): Tree {
    return this.#tree;
  }

  get isEmpty(): boolean {
    return this.#tree.turns.length === 0;
  }

  get isAnswering(): boolean {
    return this.#searching !== undefined || this.#answering !== undefined;
  }

  stop(): void {
    this.#answering?.controller.abort();
  }

  /** The trees of a conversation that may yet be kept. */
  #treesOf(id: string): Tree[] {
    const trees = [this.#tree, this.#searching, this.#answering?.tree];
    return trees.filter((tree): tree is Tree => tree?.head.id === id);
  }

  /** Ends what is under way in a conversation that is to be deleted; what comes back is for when it was not. */
  forget(id: string): () => void {
    const trees = this.#treesOf(id);
    for (const tree of trees) this.#forgotten.add(tree);
    if (this.#answering?.tree.head.id === id) this.stop();
    return () => {
      for (const tree of trees) {
        this.#forgotten.delete(tree);
        this.#unkept.add(tree);
      }
    };
  }

  /** Takes the name that a conversation was given. */
  renamed({ id, title }: Head): void {
    for (const { head } of this.#treesOf(id)) head.title = title;
  }

  /** Shows another conversation; an answer under way goes on. */
  open(tree: Tree): void {
    const going = this.#searching ?? this.#answering?.tree;
    this.#tree = going?.head.id === tree.head.id && !this.#forgotten.has(going) ? going : tree;
    this.show();
    this.#follow(true);
    this.#around.changed();
  }

  async ask(text: string): Promise<void> {
    const tree = this.#tree;
    await this.#put(tree, tree.path.at(-1), text);
  }

  edit(turn: Turn, text: string): void {
    if (this.isAnswering || !this.#around.engine()) return;
    void this.#put(this.#tree, this.#tree.before(turn), text);
  }

  /** Takes a document, or lets go of it. */
  given(tree: Tree, document: Document, isRemoved: boolean): void {
    if (isRemoved) shelf.removeDocument(document).catch(complain);
    // Before something is said there is nothing to be kept.
    else if (tree.turns.length > 0 && !this.#forgotten.has(tree)) shelf.keepDocument(document).catch(complain);
  }

  /** Puts a question after `parent`, with what the documents have on it. */
  async #put(tree: Tree, parent: Turn | undefined, text: string): Promise<void> {
    const { documents } = tree;
    this.#searching = tree;
    this.#around.changed();
    const passages = documents.length > 0 ? await find(documents, text) : [];
    this.#searching = undefined;
    if (this.#forgotten.has(tree)) return this.#around.changed();
    const asked = tree.add(parent, { role: "user", content: text }, { passages });
    this.#keep(tree, [asked]);
    await this.#answer(tree, asked);
  }

  /** Opens what was asked last for editing. */
  editLast(): void {
    const asked = this.#tree.path.reverse().find(({ message }) => message.role === "user");
    if (asked && !this.#answering) this.#views.get(asked.id)?.edit?.();
  }

  regenerate(turn: Turn): void {
    const before = this.#tree.before(turn);
    if (before) void this.#answer(this.#tree, before);
  }

  /** Has the model go on with an answer that was cut. */
  resume(turn: Turn): void {
    const before = this.#tree.before(turn);
    if (before && !this.isAnswering) void this.#resume(this.#tree, before, turn);
  }

  /** Goes on with `turn`, unless another tab is at it, or was and came further: then that is shown. */
  async #resume(tree: Tree, before: Turn, turn: Turn): Promise<void> {
    const { id } = tree.head;
    this.#searching = tree;
    this.#around.changed();
    const [isGoing, kept] = await Promise.all([isAnswered(id), shelf.find(id).catch(() => undefined)]);
    this.#searching = undefined;
    const other = kept?.turns.find(({ id }) => id === turn.id);
    const isBehind = other !== undefined && lengthOf(other) > lengthOf(turn);
    if (isGoing) notify(t("Another tab is answering in this conversation."));
    if (kept && isBehind && this.#tree === tree) this.open(kept);
    else if (!isGoing && !isBehind && !this.#forgotten.has(tree)) await this.#answer(tree, before, turn);
    else this.#around.changed();
  }

  choose(turn: Turn): void {
    this.#tree.choose(turn);
    this.show();
    this.#keep(this.#tree, []);
    this.#around.changed();
  }

  /** Draws all turns anew. */
  show(): void {
    const isFocusLost = holdFocus(this.#log);
    this.#views.clear();
    const views = this.#tree.path.map((turn, place) => {
      const view = viewOf(this.#tree, turn, this);
      this.#views.set(turn.id, view);
      view.update(this.#answering?.turn === turn);
      view.root.dataset["key"] = String(place);
      return view.root;
    });
    this.#log.replaceChildren(...views);
    this.#refresh();
    if (isFocusLost()) this.#around.focusLost();
  }

  /** Lets the buttons that ask the engine be pressed only when it can be asked. */
  #refresh(): void {
    const { isAnswering } = this;
    this.#log.setAttribute("aria-busy", String(isAnswering));
    const isReady = !isAnswering && this.#around.engine() !== undefined;
    for (const button of this.#log.querySelectorAll<HTMLButtonElement>("[data-asks]")) button.disabled = !isReady;
  }

  /** To be called when there is an engine, or none any more. */
  engineChanged(): void {
    this.#refresh();
  }

  /** Has the turn after `asked` said, or `resumed` said to its end. */
  async #answer(tree: Tree, asked: Turn, resumed?: Turn): Promise<void> {
    const engine = this.#around.engine();
    if (!engine || this.#answering) return;
    const turn = resumed ?? tree.add(asked, { role: "assistant", content: "" }, { end: "going" });
    const answering = (this.#answering = { tree, turn, controller: new AbortController(), keptAt: performance.now() });
    const said = tree.messages(resumed ? turn : asked).filter(({ role, content, tool_calls }) => role !== "assistant" || content || tool_calls || resumed);
    const request: ChatRequest = {
      ...this.#around.request(),
      messages: [...this.#around.before(), ...said],
      ...(resumed && { continue_final_message: true }),
    };
    const end = beginAnswer(tree.head.id);
    this.show();
    this.#follow(true);
    this.#around.changed();
    this.#keep(tree, [turn]);
    const grown = (pace: Pace) => {
      const isNear = this.#isAtEnd();
      this.#views.get(turn.id)?.update(true);
      this.#follow(isNear);
      this.#around.paced(pace);
      if (performance.now() - answering.keptAt > KEEP_MS) this.#keep(tree, [turn]);
    };
    await answer(engine, request, turn, grown, answering.controller.signal);
    this.#answering = undefined;
    this.#views.get(turn.id)?.update(false);
    this.#refresh();
    this.#keep(tree, [turn]);
    end();
    this.#around.changed();
  }

  #keep(tree: Tree, turns: Turn[]): void {
    if (this.#forgotten.has(tree)) return;
    if (this.#answering) this.#answering.keptAt = performance.now();
    const isWhole = this.#unkept.delete(tree);
    shelf.keep(tree, isWhole ? tree.turns : turns).catch((error: unknown) => {
      this.#unkept.add(tree);
      complain(error);
    });
  }

  #isAtEnd(): boolean {
    const page = document.documentElement;
    return page.scrollHeight - page.scrollTop - page.clientHeight < 80;
  }

  #follow(isWanted: boolean): void {
    if (isWanted) document.documentElement.scrollTop = document.documentElement.scrollHeight;
  }
}

const lengthOf = ({ message: { content, reasoning } }: Turn): number => (content ?? "").length + (reasoning ?? "").length;

/** What the documents have on a question. Without it, rather than not at all, the question is put. */
async function find(documents: Document[], question: string): Promise<Passage[]> {
  try {
    return (await import("./search.ts")).best(documents, question);
  } catch (error) {
    notify(words(error));
    return [];
  }
}

function complain(error: unknown): undefined {
  notify(t("This conversation is not kept: {why}", { why: words(error) }));
}
