/**
 * Markdown as elements. Nothing that a model writes becomes markup of its own: HTML is shown as the text that it is, images as
 * links, and what is left passes through DOMPurify.
 */

import DOMPurify, { type Config } from "dompurify";
import { Marked, type Token, type TokenizerAndRendererExtension, type Tokens } from "marked";
import { copyButton } from "./copy.ts";
import { create, makeScrollable } from "./dom.ts";
import { t } from "./language.ts";

const escape = (text: string) =>
  text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

interface Maths extends Tokens.Generic {
  text: string;
  isDisplay: boolean;
}

/** Formulas: `$…$` unless it is money, `\(…\)`, `$$…$$`, `\[…\]`. Bounded, so that no text takes long. */
function maths(name: string, level: "block" | "inline", forms: [RegExp, isDisplay: boolean][]): TokenizerAndRendererExtension {
  return {
    name,
    level,
    // Blocks begin where others end; a line within a paragraph is not searched for them.
    ...(level === "inline" && { start: (text: string) => /\$|\\[([]/.exec(text)?.index }),
    tokenizer(text: string): Maths | undefined {
      for (const [form, isDisplay] of forms) {
        const [raw, inner] = form.exec(text) ?? [];
        if (raw && inner) return { type: name, raw, text: inner.trim(), isDisplay };
      }
      return undefined;
    },
    renderer: (token) => {
      const { text, isDisplay } = token as Maths;
      const code = `<code class="tex${isDisplay ? " display" : ""}">${escape(text)}</code>`;
      return level === "block" ? `<p>${code}</p>\n` : code;
    },
  };
}

const STRONG = /^\*\*(?!\s)((?:\\.|[^*\\\n]|\*(?!\*)){1,1000}?)(?<!\s)\*\*(?!\*)(?=(.?))/su;
const isEdged = /^[\p{P}\p{S}]|[\p{P}\p{S}]$/u;
const isCjk = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;

/** `**…：**` with no space after it: Markdown's rules take that for no emphasis, but Chinese has no spaces. */
const strong: TokenizerAndRendererExtension = {
  name: "strong",
  level: "inline",
  start: (text: string) => (text.includes("**") ? text.indexOf("**") : undefined),
  tokenizer(text: string): Tokens.Strong | undefined {
    const [raw, inner, next] = STRONG.exec(text) ?? [];
    if (!raw || !inner || !isEdged.test(inner) || !isCjk.test(inner + next)) return undefined;
    return { type: "strong", raw, text: inner, tokens: this.lexer.inlineTokens(inner) };
  },
};

const marked = new Marked({
  gfm: true,
  extensions: [
    strong,
    maths("maths", "block", [
      [/^\$\$([^$]{1,4000}?)\$\$[ \t]*(?:\n|$)/, true],
      [/^\\\[([\s\S]{1,4000}?)\\\][ \t]*(?:\n|$)/, true],
    ]),
    maths("formula", "inline", [
      [/^\$\$([^$]{1,4000}?)\$\$/, true],
      [/^\\\[([\s\S]{1,4000}?)\\\]/, true],
      [/^\\\(([\s\S]{1,2000}?)\\\)/, false],
      [/^\$(?!\s)((?:\\.|[^\\$\n]){1,1000}?)(?<!\s)\$(?!\w)/, false],
    ]),
  ],
  renderer: {
    html: ({ text }) => (/^<br\s*\/?>$/i.test(text.trim()) ? "<br>" : escape(text)),
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // Below the page's own headings.
    heading({ tokens, depth }) {
      const tag = `h${Math.min(6, depth + 1)}`;
      return `<${tag}>${this.parser.parseInline(tokens)}</${tag}>\n`;
    },
  },
});

const allowed: Config & { RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: "p br hr strong em del code pre blockquote ul ol li a h2 h3 h4 h5 h6 table thead tbody tr th td #text".split(" "),
  ALLOWED_ATTR: ["href", "title", "class", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** Elements of blocks, with nothing in them that runs or fetches. */
export function elements(tokens: Token[]): DocumentFragment {
  const made = DOMPurify.sanitize(marked.parser(tokens), allowed);
  for (const link of made.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  // Each block runs as its first letter does, from the left or from the right.
  for (const block of made.children) if (block instanceof HTMLElement && block.localName !== "pre") block.dir = "auto";
  for (const table of made.querySelectorAll("table")) {
    const frame = create("div", "table");
    makeScrollable(frame, t("Table"));
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const pre of made.querySelectorAll("pre")) frameCode(pre);
  return made;
}

/** Puts what code is, and a button to copy it, over the code. */
function frameCode(pre: HTMLElement): void {
  const frame = create("div", "code");
  const bar = create("div", "bar");
  bar.append(create("span", "", languageOf(pre)), copyButton(() => pre.textContent ?? ""));
  makeScrollable(pre, t("Code"));
  pre.replaceWith(frame);
  frame.append(bar, pre);
}

function languageOf(pre: HTMLElement): string {
  return /language-(\S+)/.exec(pre.querySelector("code")?.className ?? "")?.[1] ?? "";
}

/** Colours code and sets formulas, once there is something to colour or to set. */
function adorn(nodes: Node[]): void {
  for (const node of nodes) {
    if (!(node instanceof Element)) continue;
    for (const pre of node.querySelectorAll<HTMLElement>(".code pre")) {
      const [code, language] = [pre.querySelector("code"), languageOf(pre)];
      if (code && language) void import("./highlight.ts").then(({ highlight }) => highlight(code, language), () => {});
    }
    const formulas = node.querySelectorAll<HTMLElement>("code.tex");
    if (formulas.length > 0) void import("./maths.ts").then(({ set }) => formulas.forEach(set), () => {});
  }
}

/** Text that grows: only its last block is read again. */
export class Blocks {
  #root: HTMLElement;
  #shown = "";
  /** How much of it is in blocks that have ended. */
  #ended = 0;
  /** Nodes of the block that has not. */
  #last: Node[] = [];
  #isWhole = false;

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  show(text: string, isWhole: boolean): void {
    text = text.replace(/\r\n?/g, "\n");
    if (text === this.#shown && isWhole === this.#isWhole) return;
    // What links refer to may stand at the end, so that whole text is read as a whole.
    if (isWhole || !text.startsWith(this.#shown)) {
      this.#ended = 0;
      this.#last = [];
      this.#root.replaceChildren();
    }
    [this.#shown, this.#isWhole] = [text, isWhole];
    try {
      this.#grow(text.slice(this.#ended));
    } catch {
      // Nested deeper than the stack, or the like.
      this.#root.replaceChildren(create("div", "text", text));
    }
  }

  #grow(rest: string): void {
    const tokens = marked.lexer(rest);
    const ended = this.#isWhole ? tokens : tokens.slice(0, lastBlock(tokens));
    for (const node of this.#last.splice(0)) (node as ChildNode).remove();
    if (ended.length > 0) {
      adorn(this.#append(ended));
      this.#ended += ended.reduce((sum, { raw }) => sum + raw.length, 0);
    }
    if (!this.#isWhole) this.#last = this.#append(tokens.slice(ended.length));
  }

  #append(tokens: Token[]): Node[] {
    const made = elements(tokens);
    const nodes = [...made.childNodes];
    this.#root.append(made);
    return nodes;
  }
}

/** Where the last block begins that is more than space. */
function lastBlock(tokens: Token[]): number {
  let last = tokens.length - 1;
  while (last > 0 && tokens[last]?.type === "space") last -= 1;
  return Math.max(0, last);
}
