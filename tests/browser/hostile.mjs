// Answers that try to run or to fetch something, and answers that are only hard to show, with a stand-in for the engine.

import assert from "node:assert/strict";

import { ask, ended, load } from "./chats.mjs";

/** Each would set `window.ran`, or fetch `/stolen`, if it could. */
const hostile = [
  "<script>window.ran = 1</script>",
  "<img src=x onerror='window.ran = 1'>",
  '<img src="/stolen">',
  "![a picture](/stolen)",
  "![a picture][ref]\n\n[ref]: /stolen",
  "<svg onload='window.ran = 1'><image href='/stolen'/><use href='/stolen#a'/></svg>",
  "<svg><script>window.ran = 1</script><foreignObject><iframe src='/stolen'></iframe></foreignObject></svg>",
  "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.ran=1&gt;'>",
  "<style>@import '/stolen'; body { background: url(/stolen); display: none }</style>",
  "<p style='background: url(/stolen)'>text</p>",
  "<link rel=stylesheet href=/stolen><link rel=prefetch href=/stolen><meta http-equiv=refresh content='0;url=/stolen'><base href=/stolen>",
  "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe><object data=/stolen></object><embed src=/stolen>",
  "<form action=/stolen><input autofocus onfocus='window.ran = 1'><button>Send</button></form>",
  "<video autoplay src=/stolen poster=/stolen></video><audio autoplay src=/stolen></audio>",
  "<details open ontoggle='window.ran = 1'><summary>open</summary></details>",
  "[click](javascript:window.ran=1) [click](JaVaScRiPt&colon;window.ran=1) [click](data:text/html,<script>parent.ran=1</script>) [click](vbscript:x)",
  "[click](\u0001javascript:window.ran=1) <javascript:window.ran=1> [a](<java\nscript:window.ran=1>)",
  '[title](https://example.com "\\"onmouseover=window.ran=1 x=\\"")',
  "```html\"onload=window.ran=1\n<img src=/stolen onerror=window.ran=1>\n```",
  "```xml\n<script>window.ran = 1</script><img src=/stolen>\n```",
  "`<img src=/stolen onerror=window.ran=1>` and **<img src=/stolen onerror=window.ran=1>**",
  "| a |\n|---|\n| <img src=/stolen onerror=window.ran=1> |",
  "$\\href{javascript:window.ran=1}{x}$ $\\includegraphics{/stolen}$ $\\htmlStyle{background:url(/stolen)}{x}$ $\\url{javascript:window.ran=1}$",
  "$$\\def\\a{\\a\\a}\\a$$",
  "<a href='javascript:window.ran=1' id=message name=engine>x</a>",
  "<template><img src=/stolen onerror=window.ran=1></template><noscript><img src=/stolen></noscript>",
];

/** In the page: what has no place in an answer. */
function foreign() {
  const answers = [...document.querySelectorAll(".answer")];
  const found = [];
  for (const element of answers.flatMap((answer) => [...answer.querySelectorAll("*")])) {
    const name = element.localName;
    const isOwn = element.closest(".katex, button");
    if (/^(script|img|image|iframe|object|embed|form|input|style|link|meta|base|video|audio|template)$/.test(name)) found.push(name);
    if (name === "svg" && !isOwn) found.push(name);
    for (const { name, value } of element.attributes) {
      if (/^on|^(src|srcset|srcdoc|action|formaction|poster|id|name)$/.test(name) || (name === "style" && !isOwn)) found.push(`${name}=${value}`);
      if (name === "href" && !/^(https?:|mailto:)/.test(value)) found.push(`${name}=${value}`);
    }
  }
  return found;
}

const html = (tab) => tab.evaluate(() => [...document.querySelectorAll(".answer")].at(-1).innerHTML);
const say = async (tab, text) => {
  await tab.click("button", "New chat");
  await ask(tab, `repeat ${text}`);
  await ended(tab);
};

const sample = `# Title

Some *text* with \`code\`, a [link](https://example.com/) and $E = mc^2$, for $5 or $6.

\`\`\`python
def f(x):
    return x + 1
\`\`\`

$$\\int_0^1 x\\,dx = \\tfrac12$$

| a | b |
|---|---|
| 1 | 2 |

- [x] done
- see [the end][1]

[1]: https://example.org/
`;

export const tests = {
  async "an answer in Markdown has headings, code in colours, formulas and tables"(tab) {
    await load(tab);
    await say(tab, sample);
    await tab.until("colours", () => document.querySelector(".code .hljs-keyword"));
    await tab.until("formulas", () => document.querySelectorAll(".answer .katex").length === 2);
    const found = await tab.evaluate(() => {
      const answer = [...document.querySelectorAll(".answer")].at(-1);
      const text = (selector) => answer.querySelector(selector)?.textContent;
      return [text("h2"), text("em"), text("td"), answer.querySelectorAll("a[rel~=noopener]").length, answer.textContent.includes("for $5 or $6.")];
    });
    assert.deepEqual(found, ["Title", "text", "1", 2, true]);
  },

  async "emphasis in Chinese needs no space after its punctuation"(tab) {
    await say(tab, "**定义：**内容，这是**“重要”**的，见**（第 3 章）**。**`代码`**是**重点**，2**3，**Note:**text");
    const strong = await tab.evaluate(() => [...[...document.querySelectorAll(".answer")].at(-1).querySelectorAll("strong")].map((part) => part.textContent));
    assert.deepEqual(strong, ["定义：", "“重要”", "（第 3 章）", "代码", "重点"]);
    await say(tab, sample);
  },

  async "what is written from the right is shown from the right, code from the left"(tab) {
    await say(tab, "مرحبا بالعالم!\n\n- واحد\n\n```python\nx = 1\n```\n\nEnglish.");
    const directions = await tab.evaluate(() => [...[...document.querySelectorAll(".answer")].at(-1).children].map((block) => getComputedStyle(block).direction));
    assert.deepEqual(directions, ["rtl", "rtl", "ltr", "ltr"]);
    await say(tab, sample);
  },

  async "code is copied as it was said"(tab) {
    await tab.evaluate(() => (navigator.clipboard.writeText = async (text) => void (window.copied = text)));
    await tab.evaluate(() => document.querySelector(".code [aria-label=Copy]").click());
    assert.equal(await tab.evaluate(() => window.copied), "def f(x):\n    return x + 1\n");
  },

  async "what an answer tries neither runs nor fetches anything"(tab) {
    const tried = [];
    tab.page.on("dialog", (dialog) => (tried.push("dialog"), dialog.dismiss()));
    tab.page.on("request", (request) => tried.push(request.url()));
    for (const text of hostile) {
      tried.length = 0;
      await ask(tab, `repeat ${text}`);
      await ended(tab);
      assert.deepEqual(await tab.evaluate(foreign), [], text);
      assert.equal(await tab.evaluate(() => window.ran), undefined, text);
      assert.deepEqual(tried.filter((url) => !/\/(part-|maths|icon|fonts\/KaTeX)/.test(url)), [], text);
    }
    assert.equal(tab.standin.asked.filter((path) => path.includes("stolen")).length, 0);
    return `${hostile.length} tries`;
  },

  async "HTML is shown as the text that it is"(tab) {
    await say(tab, "Write <b>bold</b> with <script>x</script>");
    assert.match(await html(tab), /Write &lt;b&gt;bold&lt;\/b&gt; with &lt;script&gt;x&lt;\/script&gt;/);
  },

  async "text that grows piece by piece looks as if it had come at once"(tab) {
    await tab.evaluate(() => {
      window.shown = new Set();
      const note = () => window.shown.add(document.querySelectorAll(".answer > *").length);
      new MutationObserver(note).observe(document.getElementById("log"), { childList: true, subtree: true });
    });
    // Formulas and colours come when what makes them has been fetched.
    const isDressed = () => document.querySelectorAll(".answer .katex").length === 2 && document.querySelector(".hljs-keyword");
    await say(tab, sample);
    await tab.until("formulas and colours", isDressed);
    const grown = await html(tab);
    assert.ok((await tab.evaluate(() => window.shown.size)) > 3, "it came at once");
    await tab.page.reload();
    await tab.until("the answer", isDressed);
    assert.equal(await html(tab), grown);
  },

  async "text that nests without end is shown and stops nothing"(tab) {
    await load(tab);
    for (const text of [">".repeat(5_000), "[".repeat(5_000), "**a ".repeat(1_500), "\\(".repeat(1_500), "$a ".repeat(1_500), "1. ".repeat(1_500)]) {
      const begin = Date.now();
      await say(tab, text);
      assert.ok(Date.now() - begin < 9_000, text.slice(0, 10));
      assert.ok((await html(tab)).length > 1_000, text.slice(0, 10));
      // Lists within lists move in, however many there are.
      if (!text.startsWith("1.")) assert.ok(await tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${text.slice(0, 10)} is wider than the page`);
    }
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
