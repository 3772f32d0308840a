/** The passages that fit a question best, by BM25. */

import MiniSearch from "minisearch";
import type { Document, Passage } from "./passages.ts";

/** Passages that a question is put with, at most. */
const MOST = 5;

/** Words; of scripts that write none apart, pairs of letters. */
export function tokenize(text: string): string[] {
  const runs = text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]+|[\p{Letter}\p{Number}]+/gu) ?? [];
  return runs.flatMap((run) => {
    if (!/^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u.test(run)) return [run];
    const letters = [...run];
    return letters.length < 2 ? letters : letters.slice(1).map((letter, at) => letters[at]! + letter);
  });
}

/**
 * The best passages in the order in which they stand; all of them if they are few. Where fewer fit than may go, as for "Summarise this", the
 * documents' beginnings go with them.
 */
export function best(documents: Document[], question: string): Passage[] {
  const all = documents.flatMap(({ passages }) => passages);
  if (all.length <= MOST) return all;
  const index = new MiniSearch<{ id: number; text: string }>({ fields: ["text"], tokenize });
  index.addAll(all.map(({ text }, id) => ({ id, text })));
  const found = index.search(question, { prefix: (term) => term.length > 3 }).map(({ id }) => id as number);
  const places = documents.flatMap(({ passages }) => [...passages.keys()]);
  const firsts = [...all.keys()].sort((a, b) => places[a]! - places[b]!);
  const chosen = [...new Set([...found, ...firsts])].slice(0, MOST);
  return chosen.sort((a, b) => a - b).map((id) => all[id]!);
}
