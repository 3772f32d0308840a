/** Documents cut into passages, and the passages that a question is put with. */

import { t } from "./language.ts";

export interface Passage {
  /** Where it stands: the document's name, and the page if it has several. */
  source: string;
  text: string;
}

export interface Document {
  /** Of the conversation that it was given to. */
  conversation: string;
  id: string;
  name: string;
  passages: Passage[];
}

/** Letters of a passage, at most: some 300 tokens. */
const LONGEST = 1200;

/** Passages of whole paragraphs where these are short enough, of pieces of them where not. */
export function cut(name: string, pages: string[]): Passage[] {
  return pages.flatMap((page, n) => {
    const source = pages.length > 1 ? t("{name}, page {n}", { name, n: n + 1 }) : name;
    const texts: string[] = [];
    for (const paragraph of page.replace(/\r\n?/g, "\n").split(/\n\s*\n/).flatMap(pieces)) {
      const last = texts.at(-1);
      if (last !== undefined && last.length + paragraph.length + 2 <= LONGEST) texts[texts.length - 1] = `${last}\n\n${paragraph}`;
      else texts.push(paragraph);
    }
    return texts.map((text) => ({ source, text }));
  });
}

/** A paragraph in pieces that are not too long, cut at the end of a sentence, else between words, else anywhere. */
function pieces(paragraph: string): string[] {
  const found: string[] = [];
  let rest = paragraph.trim();
  while (rest.length > LONGEST) {
    const head = rest.slice(0, LONGEST);
    const ends = [...head.matchAll(/[.!?](?=\s)|[。！？]/g)].map(({ index }) => index + 1);
    const end = [ends.at(-1) ?? 0, head.lastIndexOf(" ")].find((at) => at > LONGEST / 3) ?? LONGEST;
    found.push(rest.slice(0, end).trim());
    rest = rest.slice(end).trim();
  }
  return rest === "" ? found : [...found, rest];
}

/** What the model is asked: the passages by number, and then the question. */
export function withPassages(question: string, passages: Passage[]): string {
  if (passages.length === 0) return question;
  const numbered = passages.map(({ source, text }, n) => `[${n + 1}] ${source}:\n${text}`);
  const order = "Answer from the passages above where they help, and cite each that you use by its number, as in [1].";
  return `${numbered.join("\n\n")}\n\n${order}\n\n${question}`;
}

/** Which of the passages an answer cites, by number from 0. */
export function cited(answer: string, passages: Passage[]): number[] {
  const numbers = [...answer.matchAll(/\[(\d{1,3})\]|【(\d{1,3})[^】]{0,40}】/g)].map(([, plain, harmony]) => Number(plain ?? harmony) - 1);
  return [...new Set(numbers)].filter((n) => n >= 0 && n < passages.length).sort((a, b) => a - b);
}
