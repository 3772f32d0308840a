// A browser with a profile that outlives it: what a visit keeps, the next one finds. Storage in Chromium's private
// windows, which Playwright's are, is another matter.

import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

/** As the browsers of `browsers.mjs` open one: with storage that lasts, and is persistent if asked. */
export async function openProfile({ browser }) {
  const profile = await Profile.make(browser);
  const visit = await profile.visit({ persists: true });
  return { tab: visit, close: () => profile.remove() };
}

/** Gives `test` a profile, and removes it. */
export async function withProfile(browser, test) {
  const profile = await Profile.make(browser);
  try {
    return await test(profile);
  } finally {
    await profile.remove();
  }
}

class Profile {
  #folder;
  #visits = new Set();

  constructor(browser, folder) {
    this.browser = browser;
    this.#folder = folder;
  }

  static async make(browser) {
    return new Profile(browser, await mkdtemp(join(tmpdir(), "quire-profile-")));
  }

  /** Starts the browser. It gives a site `storage` bytes, and promises to clear nothing if it `persists` and is asked. */
  async visit({ webgpu = false, storage, persists = false } = {}) {
    const options =
      this.browser === "Firefox"
        ? {
            browser: "firefox",
            executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
            extraPrefsFirefox: {
              "dom.webgpu.enabled": webgpu,
              "dom.webgpu.workers.enabled": webgpu,
              "gfx.webgpu.ignore-blocklist": webgpu,
              "dom.storageManager.prompt.testing": persists,
              "dom.storageManager.prompt.testing.allow": persists,
              // In KiB. A site may have a fifth of it, and 10 MiB at least.
              "dom.quotaManager.temporaryStorage.fixedLimit": storage ? (5 * storage) / 1024 : -1,
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
    const launch = () =>
      puppeteer.launch({ ...options, headless: true, userDataDir: this.#folder, protocolTimeout: 300_000 });
    // Firefox at times ends at once where another was killed a moment ago.
    const launched = await launch().catch(launch);
    const visit = new Visit(this, launched, this.#folder, () => this.#visits.delete(visit));
    if (this.browser !== "Firefox") visit.allows = { storage, persists };
    this.#visits.add(visit);
    return visit;
  }

  /** Whether `text` stands in any file of it. */
  async holds(text) {
    const entries = await readdir(this.#folder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    for (const file of files) if ((await readFile(file)).includes(text)) return true;
    return false;
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
  /** What is to be told to Chromium for each site. */
  allows = {};
  /** What pages have complained of. */
  errors = [];

  constructor(profile, browser, folder, onEnd) {
    this.profile = profile;
    this.#browser = browser;
    this.#folder = folder;
    this.#onEnd = onEnd;
  }

  /** A tab with a page of the site that loads no model by itself. */
  async open(url) {
    const page = await this.#browser.newPage();
    page.on("pageerror", (error) => this.errors.push(String(error)));
    const { origin } = new URL(url);
    const { storage, persists } = this.allows;
    if (persists) await this.#browser.defaultBrowserContext().overridePermissions(origin, ["persistent-storage"]);
    if (storage) {
      const session = await page.createCDPSession();
      await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: storage });
    }
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
