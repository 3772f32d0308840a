// Runs every test in every browser against the page at QUIRE_URL and prints a line for each, then the counts as JSON.
// `node run.mjs WORD` runs the tests whose line contains the word.

import { browsers } from "./browsers.mjs";
import { tests } from "./tests.mjs";

const url = process.env.QUIRE_URL;
if (!url) {
  console.error("QUIRE_URL must say where the page is served.");
  process.exit(2);
}
const only = process.argv[2] ?? "";
const counts = { passed: 0, failed: 0, skipped: 0 };
const glue = await (await fetch(new URL("wasm/quire_web.js", url))).text();
const hasEngine = /export class Quire\b/.test(glue);

for (const [browser, open] of Object.entries(browsers)) {
  for (const { name, webgpu = true, needsEngine = false, tooSlowIn, run } of tests) {
    const line = `${browser}: ${name}`;
    if (!line.includes(only)) continue;
    if (needsEngine && !hasEngine) {
      counts.skipped += 1;
      console.log(`skipped - ${line}: the wasm module holds no engine`);
      continue;
    }
    if (tooSlowIn === browser) {
      counts.skipped += 1;
      console.log(`skipped - ${line}: its software adapter makes about one token a second`);
      continue;
    }
    let opened;
    try {
      opened = await open({ webgpu });
      await run(opened.tab, url);
      counts.passed += 1;
      console.log(`ok - ${line}`);
    } catch (error) {
      counts.failed += 1;
      const seen = opened?.tab.errors.map((text) => `\n  console: ${text}`).join("") ?? "";
      console.log(`not ok - ${line}: ${error.message}${seen}`);
    } finally {
      await opened?.close().catch(() => {});
    }
  }
}
console.log(JSON.stringify(counts));
process.exit(counts.failed ? 1 : 0);
