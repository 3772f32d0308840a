// A browser with a profile that outlives it: what a visit keeps, the next one finds. Storage in Chromium's private
// windows, which Playwright's are, is another matter.

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

export class Profile {
  #folder;
  #visits = new Set();

  constructor(browser, folder) {
    this.browser = browser;
    this.#folder = folder;
  }

  static async make(browser) {
    return new Profile(browser, await mkdtemp(join(tmpdir(), "quire-profile-")));
  }

  /** Starts the browser. `prefs` are Firefox's. */
  async visit({ webgpu = false, prefs = {} } = {}) {
    const options =
      this.browser === "Firefox"
        ? {
            browser: "firefox",
            executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
            extraPrefsFirefox: {
              "dom.webgpu.enabled": webgpu,
              "dom.webgpu.workers.enabled": webgpu,
              "gfx.webgpu.ignore-blocklist": webgpu,
              ...prefs,
            },
          }
        : {
            browser: "chrome",
            executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
            args: [
              "--no-sandbox",
              "--no-first-run",
              "--disable-background-networking",
              ...(webgpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-gpu"]),
            ],
          };
    const launched = await puppeteer.launch({
      ...options,
      headless: true,
      userDataDir: this.#folder,
      protocolTimeout: 300_000,
    });
    const visit = new Visit(launched, this.#folder, () => this.#visits.delete(visit));
    this.#visits.add(visit);
    return visit;
  }

  async remove() {
    await Promise.all([...this.#visits].map((visit) => visit.kill()));
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Visit {
  #browser;
  #folder;
  #onEnd;

  constructor(browser, folder, onEnd) {
    this.#browser = browser;
    this.#folder = folder;
    this.#onEnd = onEnd;
  }

  /** A tab with a page of the site that loads no model by itself. */
  async open(url) {
    const page = await this.#browser.newPage();
    await page.goto(`${url}?model=`);
    return page;
  }

  async close() {
    this.#onEnd();
    await this.#browser.close();
  }

  /** As a crash would: nothing is told to anybody. */
  async kill() {
    this.#onEnd();
    const process = this.#browser.process();
    const ended = new Promise((resolve) => process.once("exit", resolve));
    if (process.exitCode === null && process.signalCode === null) {
      process.kill("SIGKILL");
      await ended;
    }
    // Puppeteer puts the preferences back that were there before.
    while (existsSync(join(this.#folder, "user.js.puppeteer"))) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
