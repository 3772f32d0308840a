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

/** How often an answer under way is kept, at most; other tabs hear of it then. */
const KEEP_MS = 500;
/** How often it is looked whether another tab still answers: it may be closed without a word. */
const LOOK_MS = 1000;

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

/** An answer under way, from the moment that somebody asked for it. */
interface Answering {
  tree: Tree;
  controller: AbortController;
  /** Once it has begun. */
  turn?: Turn;
  /** To be done once it is over. */
  over?: () => void;
  keptAt: number;
}

export class Chat implements Actions {
  #log = element("log");
  #around: Around;
  #tree = Tree.begin();
  #views = new Map<string, TurnView>();
  #answering: Answering | undefined;
  /** What is shown, if another tab is answering there. */
  #elsewhere: Tree | undefined;
  #heardAt = 0;
  #looking: ReturnType<typeof setTimeout> | undefined;
  /** Something came from another tab while a turn was being edited. */
  #isStale = false;
  /** Deleted while they were shown or answered: to be kept no more. */
  #forgotten = new WeakSet<Tree>();
  /** Something of them could not be kept: to be kept whole. */
  #unkept = new WeakSet<Tree>();

  constructor(around: Around) {
    this.#around = around;
    shelf.watch((change) => this.#take(change));
  }

  get tree(): Tree {
    return this.#tree;
  }

  get isEmpty(): boolean {
    return this.#tree.turns.length === 0;
  }

  get isAnswering(): boolean {
    return this.#answering !== undefined;
  }

  /** Whether an answer grows that can be stopped: this tab's, or what another one says in what is shown. */
  get isGoing(): boolean {
    return this.isAnswering || this.#elsewhere !== undefined;
  }

  stop(): void {
    if (this.#answering) this.#answering.controller.abort();
    else if (this.#elsewhere) shelf.stop(this.#elsewhere.head.id);
  }

  /** The trees of a conversation that may yet be kept. */
  #treesOf(id: string): Tree[] {
    const trees = [this.#tree, this.#answering?.tree];
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
    const going = this.#answering?.tree;
    this.#tree = going?.head.id === tree.head.id && !this.#forgotten.has(going) ? going : tree;
    const isOpen = this.#tree !== going && this.#tree.path.at(-1)?.end === "going";
    this.#elsewhere = isOpen ? this.#tree : undefined;
    this.show();
    this.#follow(true);
    this.#around.changed();
    void this.#look();
  }

  /** Takes what another tab has kept of a conversation. */
  #take({ id, turns = [], title, given, taken, removed, stop }: shelf.Change): void {
    if (stop && this.#answering?.tree.head.id === id) this.stop();
    // It stays removed, unless more is said in it later.
    if (removed && this.#answering?.tree.head.id === id) this.#answering.over = this.forget(id);
    for (const tree of new Set(this.#treesOf(id))) {
      const isOurs = this.#answering?.tree === tree;
      const added = turns.filter((turn) => tree.take(turn));
      if (!isOurs) for (const turn of added) tree.choose(turn);
      if (title) tree.head.title = title;
      if (given && !tree.documents.some(({ id }) => id === given.id)) tree.documents.push(given);
      if (taken) tree.documents.splice(0, Infinity, ...tree.documents.filter(({ id }) => id !== taken));
      if (tree !== this.#tree) continue;
      const wasElsewhere = this.#elsewhere;
      this.#heardAt = performance.now();
      const answers = turns.filter(({ message }) => message.role === "assistant");
      if (answers.length > 0 && !isOurs) this.#elsewhere = answers.some(({ end }) => end === "going") ? tree : undefined;
      const isOther = wasElsewhere !== this.#elsewhere;
      const isNear = this.#isAtEnd();
      if (added.length > 0) this.#showAround();
      for (const turn of turns) this.#views.get(turn.id)?.update(this.#grows(turn));
      this.#follow(isNear);
      if (added.length > 0 || isOther || title || given || taken) this.#around.changed();
      if (isOther) void this.#look();
    }
  }

  /** Looks, as long as another tab is answering in what is shown, whether it still is, and in the end at what it has kept. */
  async #look(): Promise<void> {
    clearTimeout(this.#looking);
    const tree = this.#elsewhere;
    if (!tree) return;
    const isGoing = (await isAnswered(tree.head.id)) ?? performance.now() - this.#heardAt < 2 * LOOK_MS;
    const kept = isGoing ? undefined : await shelf.find(tree.head.id).catch(() => undefined);
    if (this.#elsewhere !== tree) return;
    if (isGoing) {
      clearTimeout(this.#looking);
      this.#looking = setTimeout(() => void this.#look(), LOOK_MS);
      return;
    }
    this.#elsewhere = undefined;
    for (const turn of kept?.turns ?? []) tree.take(turn);
    this.#showAround();
    this.#around.changed();
  }

  /** Draws all turns anew, but not around one that is being edited: then once it is not. */
  #showAround(): void {
    this.#isStale = this.#log.querySelector(".editor") !== null;
    if (!this.#isStale) this.show();
  }

  edited(): void {
    if (this.#isStale) this.show();
  }

  /** False if nothing is asked: another tab is answering here. */
  ask(text: string): Promise<boolean> {
    const parent = this.#tree.path.at(-1);
    return this.#begin((answering) => this.#put(answering, parent, text));
  }

  edit(turn: Turn, text: string): void {
    const parent = this.#tree.before(turn);
    if (turn.message.role === "user") void this.#begin((answering) => this.#put(answering, parent, text));
    else if (text !== turn.message.content) void this.#begin((answering) => this.#amend(answering, turn, text));
    else this.show();
  }

  /** Begins an answer in what is shown, unless one is under way, be it in another tab; says whether. */
  async #begin(work: (answering: Answering) => Promise<void>): Promise<boolean> {
    if (this.#answering || !this.#around.engine()) return false;
    const answering: Answering = { tree: this.#tree, controller: new AbortController(), keptAt: 0 };
    this.#answering = answering;
    this.#around.changed();
    const end = await beginAnswer(answering.tree.head.id, this.#elsewhere === answering.tree);
    const over = () => {
      this.#answering = undefined;
      answering.over?.();
      end?.();
      this.#around.changed();
    };
    if (end) {
      if (this.#elsewhere === answering.tree) this.#elsewhere = undefined;
      void work(answering).finally(over);
    } else {
      over();
      notify(t("Another tab is answering in this conversation."));
    }
    return end !== undefined;
  }

  /** Takes a document, or lets go of it. */
  given(tree: Tree, document: Document, isRemoved: boolean): void {
    if (isRemoved) shelf.removeDocument(document).catch(complain);
    // Before something is said there is nothing to be kept.
    else if (tree.turns.length > 0 && !this.#forgotten.has(tree)) shelf.keepDocument(document).catch(complain);
  }

  /** Puts a question after `parent`, with what the documents have on it. */
  async #put(answering: Answering, parent: Turn | undefined, text: string): Promise<void> {
    const { tree } = answering;
    const passages = tree.documents.length > 0 ? await find(tree.documents, text) : [];
    if (this.#forgotten.has(tree)) return;
    const asked = tree.add(parent, { role: "user", content: text }, { passages });
    this.#keep(tree, [asked]);
    await this.#answer(answering, asked);
  }

  /** Puts an answer that says `text` in the place of `turn`. If that was cut, this one can go on as well. */
  async #amend({ tree }: Answering, turn: Turn, text: string): Promise<void> {
    const { message, end = "stop" } = turn;
    const amended = tree.add(tree.before(turn), { ...message, content: text }, { end: end === "stop" ? "stop" : "stopped" });
    this.#keep(tree, [amended]);
    this.show();
  }

  /** Opens what was asked last for editing. */
  editLast(): void {
    const asked = this.#tree.path.reverse().find(({ message }) => message.role === "user");
    if (asked && !this.#answering) this.#views.get(asked.id)?.edit?.();
  }

  regenerate(turn: Turn): void {
    const before = this.#tree.before(turn);
    if (before) void this.#begin((answering) => this.#answer(answering, before));
  }

  /** Has the model go on from what the calls of `turn` came to. */
  reply(turn: Turn, results: string[]): void {
    void this.#begin((answering) => this.#reply(answering, turn, results));
  }

  async #reply(answering: Answering, turn: Turn, results: string[]): Promise<void> {
    const { tree } = answering;
    const given = tree.add(turn, { role: "tool", content: null }, { results });
    this.#keep(tree, [given]);
    await this.#answer(answering, given);
  }

  /** Has the model go on with an answer that was cut. */
  resume(turn: Turn): void {
    const before = this.#tree.before(turn);
    if (before) void this.#begin((answering) => this.#resume(answering, before, turn));
  }

  /** Goes on with `turn`, unless another tab has come further: then that is shown. */
  async #resume(answering: Answering, before: Turn, turn: Turn): Promise<void> {
    const { tree } = answering;
    const kept = await shelf.find(tree.head.id).catch(() => undefined);
    const other = kept?.turns.find(({ id }) => id === turn.id);
    if (this.#forgotten.has(tree)) return;
    if (!other || lengthOf(other) <= lengthOf(turn)) return this.#answer(answering, before, turn);
    for (const turn of kept?.turns ?? []) tree.take(turn);
    if (this.#tree === tree) this.show();
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
    this.#isStale = false;
    this.#views.clear();
    const views = this.#tree.path.map((turn, place) => {
      const view = viewOf(this.#tree, turn, this);
      this.#views.set(turn.id, view);
      view.update(this.#grows(turn));
      view.root.dataset["key"] = String(place);
      return view.root;
    });
    this.#log.replaceChildren(...views);
    this.#refresh();
    if (isFocusLost()) this.#around.focusLost();
  }

  /** Whether a turn grows, here or in another tab. */
  #grows(turn: Turn): boolean {
    return this.#answering?.turn?.id === turn.id || (turn.end === "going" && this.#elsewhere?.path.at(-1)?.id === turn.id);
  }

  /** Lets the buttons that ask the engine be pressed only when it can be asked. */
  #refresh(): void {
    this.#log.setAttribute("aria-busy", String(this.isGoing));
    const isReady = !this.isGoing && this.#around.engine() !== undefined;
    const held = document.activeElement;
    const isHeld = this.#log.contains(held) && held?.matches(":enabled");
    for (const button of this.#log.querySelectorAll<HTMLButtonElement>("[data-asks]")) button.disabled = !isReady;
    if (isHeld && held?.matches(":disabled")) this.#around.focusLost();
  }

  /** To be called when there is an engine, or none any more. */
  engineChanged(): void {
    this.#refresh();
  }

  /** Has the turn after `asked` said, or `resumed` said to its end. */
  async #answer(answering: Answering, asked: Turn, resumed?: Turn): Promise<void> {
    const engine = this.#around.engine();
    if (!engine) return;
    const { tree, controller } = answering;
    const turn = resumed ?? tree.add(asked, { role: "assistant", content: "" }, { end: "going" });
    answering.turn = turn;
    answering.keptAt = performance.now();
    const said = tree.messages(resumed ? turn : asked).filter(({ role, content, tool_calls }) => role !== "assistant" || content || tool_calls || resumed);
    const request: ChatRequest = {
      ...this.#around.request(),
      messages: [...this.#around.before(), ...said],
      ...(resumed && { continue_final_message: true }),
    };
    this.show();
    this.#follow(true);
    this.#around.changed();
    this.#keep(tree, [turn]);
    const grown = (pace: Pace) => {
      const isNear = this.#isAtEnd();
      this.#views.get(turn.id)?.update(true);
      this.#follow(isNear);
      this.#around.paced(pace);
      if (performance.now() - answering.keptAt > KEEP_MS) this.#keep(tree, [turn], true);
    };
    await answer(engine, request, turn, grown, controller.signal);
    this.#views.get(turn.id)?.update(false);
    this.#keep(tree, [turn], true);
  }

  /** `grows` where the turns are kept already, and have more to them now. */
  #keep(tree: Tree, turns: Turn[], grows = false): void {
    if (this.#forgotten.has(tree)) return;
    if (this.#answering) this.#answering.keptAt = performance.now();
    const isWhole = this.#unkept.delete(tree);
    shelf.keep(tree, isWhole ? tree.turns : turns, grows && !isWhole).catch((error: unknown) => {
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
