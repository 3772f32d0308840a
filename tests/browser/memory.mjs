// What a page takes of Firefox's memory, by the browser's own books: those that about:memory shows.

import { readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as rest } from "node:timers/promises";
import { gunzipSync } from "node:zlib";

/** Glibc's SIGRTMIN, at which Firefox writes a report of all its processes into the folder for temporary files. */
const REPORT = 34;

/** What the report says of the process whose workers are those of `host`, in bytes: wasm memories, and all else of JavaScript. */
function ofPage(reports, host) {
  const workers = `explicit/workers/workers(${host})`;
  const { process } = reports.find(({ path }) => path.startsWith(workers)) ?? {};
  const own = reports.filter((report) => report.process === process && /^explicit\/(workers|window-objects|js-non-window)\//.test(report.path));
  const sum = (list) => list.reduce((bytes, { amount }) => bytes + amount, 0);
  const wasm = sum(own.filter(({ path }) => path.endsWith("/elements/wasm")));
  return { wasm, heap: process ? sum(own) - wasm : 0 };
}

/** The memory of the page at `host` now, of the browser whose first process is `pid`. */
async function measure(pid, host) {
  process.kill(pid, REPORT);
  for (let tries = 0; tries < 600; tries += 1) {
    const name = (await readdir(tmpdir())).find((name) => name.startsWith("unified-memory-report-") && name.includes(`-${pid}.`));
    if (name) {
      const path = join(tmpdir(), name);
      const { reports } = JSON.parse(gunzipSync(await readFile(path)));
      await rm(path);
      return ofPage(reports, host);
    }
    await rest(100);
  }
  throw new Error(`Firefox (process ${pid}) has written no report of its memory in a minute`);
}

/** Does `work`, looking at the memory of the page of `tab` meanwhile; the most that was seen at once, and how often it was looked at. */
export async function peakDuring(tab, work) {
  const pid = tab.page.browser().process().pid;
  const { hostname } = new URL(tab.page.url());
  const peak = { wasm: 0, heap: 0, looks: 0 };
  let isDone = false;
  const watch = async () => {
    for (let isLast = false; !isLast; ) {
      isLast = isDone;
      const { wasm, heap } = await measure(pid, hostname);
      if (wasm + heap >= peak.wasm + peak.heap) Object.assign(peak, { wasm, heap });
      peak.looks += 1;
      if (!isDone) await rest(3000);
    }
  };
  const working = work().finally(() => (isDone = true));
  const [result] = await Promise.all([working, watch()]);
  return { result, peak };
}
