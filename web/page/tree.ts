/** A conversation as a tree: every turn follows another, and of the turns that follow the same one, one is chosen. */

import type { Message } from "../src/index.ts";
import { type Document, type Passage, withPassages } from "./passages.ts";

/** How an answer ended: by itself, cut at the longest length, cut where the context is full, stopped by the person, with trouble, or not yet. */
export type End = "stop" | "length" | "full" | "stopped" | "failed" | "going";

export interface Turn {
  /** Of the conversation. */
  conversation: string;
  id: string;
  /** The turn that this one follows; empty for the first. */
  parent: string;
  /** Milliseconds since 1970; of the turns that follow the same one, in the order in which they were made. */
  made: number;
  message: Message;
  /** Of answers. */
  end?: End;
  /** Of questions: what of the documents they were put with. */
  passages?: Passage[];
  /** Of what calls came to, whose `message` is a tool's and has no content: a text for each call of the turn that it follows. */
  results?: string[];
  /** Of answers that failed: why, in words. */
  trouble?: string;
}

/** What is known of a conversation without its turns. */
export interface Head {
  id: string;
  title: string;
  /** Milliseconds since 1970. */
  made: number;
  changed: number;
  /** By turn, which of those that follow it is shown; by the empty id, which of the first. */
  chosen: Record<string, string>;
}

/** A conversation with all that belongs to it. */
export interface Kept {
  head: Head;
  turns: Turn[];
  documents: Document[];
}

/** At random; `crypto.randomUUID` is for secure pages alone, and a server in the house has none. */
export function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Tree implements Kept {
  readonly head: Head;
  /** What was given to the conversation to answer from. */
  readonly documents: Document[];
  #turns = new Map<string, Turn>();
  #after = new Map<string, Turn[]>();

  constructor(head: Head, turns: Iterable<Turn> = [], documents: Document[] = []) {
    this.head = head;
    this.documents = documents;
    for (const turn of [...turns].sort((a, b) => a.made - b.made)) this.#hold(turn);
  }

  static begin(): Tree {
    const now = Date.now();
    return new Tree({ id: newId(), title: "", made: now, changed: now, chosen: {} });
  }

  get turns(): Turn[] {
    return [...this.#turns.values()];
  }

  /** The turns that are shown, from the first to the last. */
  get path(): Turn[] {
    const path: Turn[] = [];
    for (let turn = this.#chosenAfter(""); turn; turn = this.#chosenAfter(turn.id)) path.push(turn);
    return path;
  }

  /** The turns in the place of `turn`, itself among them. */
  places(turn: Turn): readonly Turn[] {
    return this.#after.get(turn.parent) ?? [];
  }

  /** The turn that `turn` follows. */
  before(turn: Turn): Turn | undefined {
    return this.#turns.get(turn.parent);
  }

  /** The turn that is shown after `turn`. */
  next(turn: Turn): Turn | undefined {
    return this.#chosenAfter(turn.id);
  }

  /** The question that `turn` answers, be it after calls. */
  asked(turn: Turn): Turn | undefined {
    let at = this.before(turn);
    while (at && at.message.role !== "user") at = this.before(at);
    return at;
  }

  /** Whether `turn` has calls that wait for what they come to. */
  isPending(turn: Turn): boolean {
    const { message, end = "stop" } = turn;
    return end === "stop" && message.tool_calls !== undefined && this.next(turn)?.results === undefined;
  }

  /**
   * What was said up to `turn`, itself included, the last question with the passages of documents that go with it: those of all questions
   * would soon fill the context. No turn is nothing.
   */
  messages(turn: Turn | undefined): Message[] {
    const said: Message[] = [];
    let isAsked = false;
    for (let at = turn; at; at = this.before(at)) {
      const { message, passages, results } = at;
      if (results) said.unshift(...this.#results(at, results));
      else said.unshift(passages && !isAsked ? { ...message, content: withPassages(message.content ?? "", passages) } : message);
      isAsked ||= message.role === "user";
    }
    return said;
  }

  /** A message for each call of the turn before. */
  #results(turn: Turn, results: string[]): Message[] {
    const { tool_calls = [] } = this.before(turn)?.message ?? {};
    return tool_calls.map(({ id }, n) => ({ role: "tool", tool_call_id: id, content: results[n] ?? "" }));
  }

  /** Adds a turn after `parent`, or a first one, and chooses it. */
  add(parent: Turn | undefined, message: Message, { end, passages = [], results }: Pick<Turn, "end" | "passages" | "results"> = {}): Turn {
    const latest = this.#after.get(parent?.id ?? "")?.at(-1)?.made ?? 0;
    const turn: Turn = {
      conversation: this.head.id,
      id: newId(),
      parent: parent?.id ?? "",
      // Turns of the same millisecond keep their order too.
      made: Math.max(Date.now(), latest + 1),
      message,
      ...(end && { end }),
      ...(passages.length > 0 && { passages }),
      ...(results && { results }),
    };
    this.#hold(turn);
    this.choose(turn);
    this.head.changed = Date.now();
    if (this.head.title === "" && message.role === "user") this.head.title = titleOf(message.content ?? "");
    return turn;
  }

  /** Takes a turn as it is in another tab; true if there was none like it here. */
  take(turn: Turn): boolean {
    const known = this.#turns.get(turn.id);
    if (!known) this.#hold(turn);
    else {
      // Whoever shows the turn goes on to show it.
      delete known.end;
      delete known.trouble;
      Object.assign(known, turn);
    }
    return !known;
  }

  /** Shows `turn`, and of what follows it what was shown last. */
  choose(turn: Turn): void {
    this.head.chosen[turn.parent] = turn.id;
  }

  #hold(turn: Turn): void {
    // What follows itself would never end.
    if (this.#turns.has(turn.id) || turn.id === "") return;
    this.#turns.set(turn.id, turn);
    const places = this.#after.get(turn.parent) ?? [];
    this.#after.set(turn.parent, [...places, turn]);
  }

  #chosenAfter(id: string): Turn | undefined {
    const places = this.#after.get(id) ?? [];
    return places.find((turn) => turn.id === this.head.chosen[id]) ?? places.at(-1);
  }
}

/** The first line, at most so long as a list shows. */
export function titleOf(text: string): string {
  const line = text.trim().split("\n", 1)[0]!.trim();
  const letters = [...line];
  return letters.length > 80 ? `${letters.slice(0, 79).join("").trimEnd()}…` : line;
}
