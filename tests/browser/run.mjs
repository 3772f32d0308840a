// Runs every suite in every browser, the browsers side by side, against the page at QUIRE_URL: a line for each test, then the
// counts as JSON.
// `node run.mjs WORDS` runs the suites whose name, such as `Firefox: the engine`, contains the words. SCREENSHOTS may name a
// folder for pictures of the page; CDN_URL is where the CDN simulator serves tests/vectors, for each browser another if there
// are two with a space between, since it is told how to misbehave; PACKAGED is the folder of pages that `cargo xtask test`
// builds from the npm package, SITE the static site, PARROT the model that speaks by a script, QUIRE the program.

import { browsers } from "./browsers.mjs";
import { suites } from "./suites.mjs";

const url = process.env.QUIRE_URL;
if (!url) {
  console.error("QUIRE_URL must say where the page is served.");
  process.exit(2);
}
const only = process.argv[2] ?? "";
const counts = { passed: 0, failed: 0, skipped: 0 };

/** The suites of one browser, in their order. */
async function run(browser, { open: plain, maxTokens, lengths }, cdn) {
  for (const { name: suite, only: where = browser, open = plain, webgpu = true, tests } of suites) {
    if (where !== browser || !`${browser}: ${suite}`.includes(only)) continue;
    const opened = await open({ webgpu, browser }).catch((error) => ({ error }));
    for (const [name, test] of Object.entries(tests)) {
      const line = `${browser}: ${suite}: ${name}`;
      const begin = performance.now();
      try {
        if (opened.error) throw opened.error;
        const note = await test(opened.tab, { url, browser, maxTokens, lengths, screenshots: process.env.SCREENSHOTS, cdn, packaged: process.env.PACKAGED, parrot: process.env.PARROT });
        const seconds = ((performance.now() - begin) / 1000).toFixed(1);
        counts.passed += 1;
        console.log(`ok - ${line} (${[seconds + " s", note].filter(Boolean).join("; ")})`);
      } catch (error) {
        counts.failed += 1;
        const seen = opened.tab?.errors.map((text) => `\n  console: ${text}`).join("") ?? "";
        console.log(`not ok - ${line}: ${error.message}${seen}`);
      }
    }
    await opened.close?.().catch(() => {});
  }
}

// Side by side: neither keeps all cores busy.
const cdns = (process.env.CDN_URL ?? "").split(" ");
await Promise.all(Object.entries(browsers).map(([browser, options], i) => run(browser, options, cdns[i] ?? cdns[0])));
console.log(JSON.stringify(counts));
process.exit(counts.failed ? 1 : 0);
