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

/** Tokens of a passage, at most, by estimate. */
const LONGEST = 300;

/** Some four letters are a token; from where the scripts of China, Japan and Korea begin, each is about one. */
const tokensOf = (letter: string): number => (letter < "\u2e80" ? 0.25 : 1);

/** Up to where `text` has so many tokens, and how many it has up to there. */
function measure(text: string, most = Infinity): { end: number; tokens: number } {
  let [end, tokens] = [0, 0];
  for (const letter of text) {
    if (tokens + tokensOf(letter) > most) break;
    tokens += tokensOf(letter);
    end += letter.length;
  }
  return { end, tokens };
}

/** Passages of whole paragraphs where these are short enough, of pieces of them where not. */
export function cut(name: string, pages: string[]): Passage[] {
  return pages.flatMap((page, n) => {
    const source = pages.length > 1 ? t("{name}, page {n}", { name, n: n + 1 }) : name;
    const texts: string[] = [];
    // Tokens of the last text; nothing goes with one that is not there.
    let size = LONGEST;
    for (const paragraph of page.replace(/\r\n?/g, "\n").split(/\n\s*\n/).flatMap(pieces)) {
      const { tokens } = measure(paragraph);
      const joined = size + measure("\n\n").tokens + tokens;
      if (joined <= LONGEST) texts[texts.length - 1] += `\n\n${paragraph}`;
      else texts.push(paragraph);
      size = joined <= LONGEST ? joined : tokens;
    }
    return texts.map((text) => ({ source, text }));
  });
}

/** A paragraph in pieces that are not too long, cut at the end of a sentence, else between words, else anywhere. */
function pieces(paragraph: string): string[] {
  const found: string[] = [];
  let rest = paragraph.trim();
  for (;;) {
    const most = measure(rest, LONGEST).end;
    if (most === rest.length) break;
    const head = rest.slice(0, most);
    const ends = [...head.matchAll(/[.!?](?=\s)|[。！？]/g)].map(({ index }) => index + 1);
    const end = [ends.at(-1) ?? 0, head.lastIndexOf(" ")].find((at) => at > most / 3) ?? most;
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
