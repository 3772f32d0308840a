// Two browsers behind one small face: Chromium through Playwright, Firefox through Puppeteer. Both render on a software
// adapter, so that the tests need no graphics processor.

import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

const viewport = { width: 1200, height: 720 };

/** Adds the origin of what is asked for over the network. */
export function noteOrigin(request, origins) {
  const { protocol, origin } = new URL(request.url());
  if (/^(http|ws)/.test(protocol)) origins.add(origin);
}

/** A page, the console errors it made, and what a person does with it, by role and name. */
class Tab {
  errors = [];
  /** Of what was fetched, but for what a page has in itself. */
  origins = new Set();

  constructor(page) {
    this.page = page;
    page.on("request", (request) => noteOrigin(request, this.origins));
    page.on("console", (message) => {
      // Chromium itself tells of every 404; a model need not have a heat map beside it, nor a host a configuration.
      const isAbsent = message.text().includes("404") && /(\.heat|\/config\.json)$/.test(message.location()?.url?.split("?")[0]);
      if (message.type() === "error" && !isAbsent) this.errors.push(message.text());
    });
    page.on("pageerror", (error) => this.errors.push(String(error)));
  }

  goto(url) {
    return this.page.goto(url);
  }

  screenshot(path) {
    return this.page.screenshot({ path });
  }

  /** Runs `fn(arg)` in the page. */
  evaluate(fn, arg) {
    return this.page.evaluate(fn, arg);
  }

  /** Polls `fn(arg)` in the page until it is true; fails with `what` and what the page shows by then. */
  async until(what, fn, arg, seconds = 60) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const value = await this.evaluate(fn, arg);
      if (value) return value;
      if (Date.now() > end) {
        const shown = await this.evaluate(() => document.body.innerText);
        throw new Error(`waited ${seconds} s for ${what}; the page shows: ${shown.slice(0, 600)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

class ChromiumTab extends Tab {
  click(role, name) {
    return this.page.getByRole(role, { name, exact: true }).click();
  }
  fill(role, name, text) {
    return this.page.getByRole(role, { name, exact: true }).fill(text);
  }
  count(role, name) {
    return this.page.getByRole(role, { name, exact: true }).count();
  }

  /** Ends the process that speaks with the GPU, as a crash of its driver does; the browser starts another one. */
  async crashGpu() {
    const session = await this.page.context().browser().newBrowserCDPSession();
    await session.send("Browser.crashGpuProcess");
    await session.detach();
  }
}

class FirefoxTab extends Tab {
  async #find(role, name) {
    const found = await this.page.$$(`aria/${name}[role="${role}"]`);
    if (!found[0]) throw new Error(`no ${role} "${name}"`);
    return found[0];
  }
  async click(role, name) {
    await (await this.#find(role, name)).click();
  }
  async fill(role, name, text) {
    await (await this.#find(role, name)).type(text);
  }
  async count(role, name) {
    return (await this.page.$$(`aria/${name}[role="${role}"]`)).length;
  }
}

/** Private, unless there is a folder for a `profile`. */
async function openChromium({ webgpu, profile }) {
  const args = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ];
  if (webgpu) args.push("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader");
  else args.push("--disable-features=WebGPU", "--disable-gpu");
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const looks = { viewport, colorScheme: "light" };
  if (profile) {
    const context = await chromium.launchPersistentContext(profile, { executablePath, args, ...looks });
    return { tab: new ChromiumTab(await context.newPage()), close: () => context.close() };
  }
  const browser = await chromium.launch({ executablePath, args });
  const context = await browser.newContext(looks);
  const page = await context.newPage();
  return { tab: new ChromiumTab(page), version: browser.version(), close: () => browser.close() };
}

async function openFirefox({ webgpu }) {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    defaultViewport: viewport,
    // One call may be a whole answer.
    protocolTimeout: 600_000,
    extraPrefsFirefox: {
      "dom.webgpu.enabled": webgpu,
      "dom.webgpu.workers.enabled": webgpu,
      "gfx.webgpu.ignore-blocklist": webgpu,
    },
  });
  const version = (await browser.version()).replace(/^firefox\//i, "");
  return { tab: new FirefoxTab(await browser.newPage()), version, close: () => browser.close() };
}

/**
 * What its software adapter does in reasonable time is `maxTokens` of each golden answer, and of nano's prompts those of
 * `lengths` in more than one precision.
 */
export const browsers = {
  Chromium: { open: openChromium, maxTokens: 5, lengths: [1, 40] },
  Firefox: { open: openFirefox, maxTokens: 24, lengths: [1, 40, 900] },
};
