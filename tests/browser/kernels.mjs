// The kernel tests, tests/tests/kernels, with the browser's GPU in the place of this machine's.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import { browsers } from "./browsers.mjs";

const root = new URL("../../", import.meta.url);
const PAGE = "<!doctype html><title>Kernels</title><script type=module src=kernels-page.js></script>";

/** Hands jobs of the kernel tests to a page, as both ask for them, and keeps the names of kernels that have run. */
class Jobs {
  names = new Set();
  /** Of those that counted on subgroups. */
  inSubgroups = new Set();
  /** What waits for the page, and the page's requests that wait for something. */
  #waiting = [];
  #idle = [];
  /** Where what came of a job goes, by its number. */
  #answers = [];

  #http;

  async open() {
    this.#http = createServer((asked, answer) => this.#serve(asked, answer).catch((error) => answer.writeHead(500).end(error.message)));
    await once(this.#http.listen(0, "127.0.0.1"), "listening");
    this.port = this.#http.address().port;
    return this;
  }

  close() {
    this.#http.closeAllConnections();
    this.#http.close();
  }

  async #serve(asked, answer) {
    const [path, number] = asked.url.split("?");
    if (path === "/job" && asked.method === "POST") {
      this.#waiting.push([await body(asked), this.#answers.push(answer) - 1]);
      this.#match();
    } else if (path === "/job") {
      this.#idle.push(answer);
      this.#match();
    } else if (path === "/done") {
      this.#answers[number].end(await body(asked));
      answer.end();
    } else {
      const isScript = path === "/kernels-page.js";
      answer.setHeader("content-type", isScript ? "text/javascript" : "text/html");
      answer.end(isScript ? await readFile(new URL("kernels-page.js", import.meta.url)) : PAGE);
    }
  }

  #match() {
    while (this.#waiting.length && this.#idle.length) {
      const [job, number] = this.#waiting.shift();
      for (const { name, inSubgroups } of JSON.parse(job.subarray(0, job.indexOf(10))).kernels) {
        this.names.add(name);
        if (inSubgroups) this.inSubgroups.add(name);
      }
      this.#idle.shift().writeHead(200, { number }).end(job);
    }
  }
}

async function body(asked) {
  const pieces = [];
  for await (const piece of asked) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A tab whose GPU runs jobs, `tab.jobs`. */
export async function openKernels({ browser }) {
  const jobs = await new Jobs().open();
  const { tab, close } = await browsers[browser].open({ webgpu: true });
  tab.jobs = jobs;
  return { tab, close: () => close().finally(() => jobs.close()) };
}

/** Tests, by words of their names, of sizes and of thousands of draws, for which software adapters behind a browser take minutes. */
const LONG = ["sample_filters::", "131072"];
/**
 * Chromium's takes 0.3 s to make a pipeline and seconds for those with much workgroup memory. So it has those tests that run every
 * kernel in every shape, and of weight formats each kernel has one in so many.
 */
const RULES = {
  Chromium: {
    share: 5,
    skipped: [
      ...LONG,
      "a_dense_layer",
      "a_sequence_attends",
      "choices_in_tiles",
      "drafts_see",
      "each_row_draws",
      "no_draw_takes",
      "not_a_bit_of_a_row",
      "of_real_",
      "sharp_scores",
      "the_head_can_begin",
      "where_experts_lie",
    ],
  },
  Firefox: { share: 1, skipped: LONG },
};

/** Whether a line of shaders/permutations is among `names`, with any of the formats if it has one. */
const isIn = (names, kernel, formats) => (kernel.includes("_w_") ? formats.some((format) => names.has(kernel.replace("_w_", `_${format}_`))) : names.has(kernel));

export const tests = {
  async "every kernel test passes on the browser's GPU"(tab, { browser }) {
    await tab.goto(`http://localhost:${tab.jobs.port}/`);
    const { subgroup } = await tab.until("the adapter", () => window.adapter);
    tab.hasSubgroups = subgroup !== undefined;
    const { share, skipped } = RULES[browser];
    const environment = { KERNELS_PORT: tab.jobs.port, KERNELS_SHARE: share, RUST_BACKTRACE: 0, ...(subgroup && { KERNELS_SUBGROUP: subgroup }) };
    const skips = skipped.flatMap((words) => ["--skip", words]);
    // It was built before, with the other tests.
    const program = spawn("cargo", ["test", "-q", "--workspace", "--test", "kernels", "--", ...skips], {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    // Tests whose page is gone fail once nobody listens.
    const limit = setTimeout(() => tab.jobs.close(), 600_000);
    const said = await text(program.stdout);
    clearTimeout(limit);
    const summary = /^test result: (\w+)\. (\d+) passed/m.exec(said);
    assert.equal(summary?.[1], "ok", said.slice(Math.max(0, said.indexOf("failures:"))));
    const inSubgroups = subgroup ? `${tab.jobs.inSubgroups.size} of them in subgroups of ${subgroup} threads` : "no subgroups";
    return `${summary[2]} tests, ${tab.jobs.names.size} kernels, ${inSubgroups}`;
  },

  async "every kernel ran in every shape, and every weight format in each"(tab) {
    const { names, inSubgroups } = tab.jobs;
    const permutations = (await readFile(new URL("shaders/permutations", root))).toString();
    const kernels = [...permutations.matchAll(/^[^#\s]+/gm)].map(([kernel]) => kernel);
    const formats = (await readdir(new URL("shaders/shared/weights", root))).map((file) => file.replace(".wgsl", ""));
    assert.deepEqual(kernels.filter((kernel) => !isIn(names, kernel, formats)), []);
    const has = (names, format, isWide) => [...names].some((name) => name.startsWith(`f32_${format}_`) && name.endsWith("_wide") === isWide);
    assert.deepEqual(formats.filter((format) => !has(names, format, false) || !has(names, format, true)), []);
    if (tab.hasSubgroups) assert.deepEqual(formats.filter((format) => !has(inSubgroups, format, true)), []);
    return `${kernels.length} kernels, ${formats.length} formats`;
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },
};
