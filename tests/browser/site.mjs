// The static site that `cargo xtask package` leaves, on a plain host below a path of it, which has no `config.json`; with a
// stand-in for the engine, and with a profile that lasts: a private window installs nothing.

import assert from "node:assert/strict";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { browsers } from "./browsers.mjs";
import { ask, ended } from "./chats.mjs";
import { serveFolders } from "./folder.mjs";
import { findings } from "./shell.mjs";

/** A browser's tab; `tab.site` is the host. */
export async function openSite({ browser, webgpu }) {
  const [profile, engine] = await Promise.all(["profile", "engine"].map((name) => mkdtemp(join(tmpdir(), `quire-site-${name}-`))));
  await copyFile(fileURLToPath(new URL("standin-worker.js", import.meta.url)), join(engine, "worker.js"));
  const site = await serveFolders({ quire: [engine, process.env.SITE] });
  const { tab, close } = await browsers[browser].open({ webgpu, profile });
  tab.site = site;
  tab.page.setDefaultTimeout(10_000);
  const end = async () => {
    await close();
    await site.stop();
    for (const folder of [profile, engine]) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  return { tab, close: end };
}

const visit = (tab) => tab.goto(`${tab.site.url}quire/`);
/** Waits for an engine, which tells what it was loaded from. */
const loaded = (tab, from) => tab.until(`the model ${from}`, (from) => document.getElementById("adapter").textContent.includes(JSON.stringify(from)), from, 10);
const models = (tab) => tab.page.locator("#models");

/** In the page: notes all that is said of a model while it is loaded. */
function watchLoading() {
  const [phase, bar, numbers] = ["phase", "bar", "numbers"].map((id) => document.getElementById(id));
  window.told = [];
  const note = () => window.told.push({ phase: phase.textContent, part: bar.position, numbers: numbers.textContent });
  new MutationObserver(note).observe(document.getElementById("loading"), { subtree: true, childList: true, attributes: true });
}

export const tests = {
  async "a page without a model offers those of the catalogue, and the one that is chosen answers"(tab) {
    await visit(tab);
    await tab.click("button", "Choose a model");
    for (const colorScheme of ["dark", "light"]) {
      await tab.page.emulateMedia({ colorScheme });
      assert.deepEqual(await findings(tab), [], colorScheme);
    }
    const offered = await tab.evaluate(() => [...document.querySelectorAll("#catalogue button")].map(({ firstChild }) => firstChild.textContent));
    assert.deepEqual(offered, ["gpt-oss-20b", "gpt-oss-20b Q4_K_M"]);
    await tab.page.getByRole("button", { name: /^gpt-oss-20b ?OpenAI/ }).click();
    assert.equal(await models(tab).isVisible(), false);
    await loaded(tab, "https://huggingface.co/ggml-org/gpt-oss-20b-GGUF/resolve/main/gpt-oss-20b-mxfp4.gguf");
    await ask(tab, "Hello?");
    await ended(tab);
    assert.equal(await tab.evaluate(() => document.querySelector(".answer").textContent.trim()), "You said: Hello?");
  },

  async "of a model by its own address it is told what comes, how much, how fast and how long it will take"(tab) {
    await tab.page.locator("#choose").click();
    await tab.fill("textbox", "Address of a GGUF file", "https://models.test/slowly/own.gguf");
    await tab.evaluate(watchLoading);
    await tab.click("button", "Load");
    await loaded(tab, "https://models.test/slowly/own.gguf");
    const told = await tab.evaluate(() => window.told);
    const phases = [...new Set(told.map(({ phase }) => phase))].filter(Boolean);
    assert.deepEqual(phases, ["Starting", "Reading what the model is made of", "Fetching what every answer needs"]);
    const parts = [...new Set(told.map(({ part }) => part))];
    assert.deepEqual(parts, [-1, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
    const numbers = told.map(({ numbers }) => numbers);
    assert.ok(numbers.includes("0 B of 1.0 GB · the model has 12.0 GB"), numbers.join("\n"));
    assert.match(numbers.at(-1), /^900 MB of 1\.0 GB · [\d.]+ [MG]B\/s · \d+ s left · the model has 12\.0 GB$/);
    assert.equal(await tab.evaluate(() => document.getElementById("loading").checkVisibility()), false);
  },

  async "the model of the last visit is there at the next one, but for a file, which is to be opened anew"(tab) {
    await visit(tab);
    await loaded(tab, "https://models.test/slowly/own.gguf");
    await tab.page.locator("#choose").click();
    const [chooser] = await Promise.all([tab.page.waitForEvent("filechooser"), models(tab).getByText("Open a file…").click()]);
    await chooser.setFiles({ name: "picked.gguf", mimeType: "application/octet-stream", buffer: Buffer.from("GGUF") });
    await loaded(tab, "picked.gguf");
    await visit(tab);
    await loaded(tab, "https://models.test/slowly/own.gguf");
  },

  async "it can be installed"(tab) {
    await tab.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    const session = await tab.page.context().newCDPSession(tab.page);
    const { errors } = await session.send("Page.getAppManifest");
    const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
    await session.detach();
    assert.deepEqual([errors, installabilityErrors], [[], []]);
  },

  async "nothing was written to the console as an error"(tab) {
    assert.deepEqual(tab.errors, []);
  },

  async "nothing was asked of any other host"(tab) {
    assert.deepEqual([...tab.origins], [new URL(tab.site.url).origin]);
  },

  async "the page's policy lets in no script in a line, no handler, and no picture from elsewhere"(tab) {
    const stolen = `${tab.site.elsewhere}quire/stolen.png`;
    await tab.evaluate((stolen) => {
      window.refused = [];
      document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => window.refused.push(`${effectiveDirective} ${blockedURI}`));
      const script = document.createElement("script");
      script.textContent = "window.ran = 'a script'";
      const pictures = document.createElement("div");
      pictures.innerHTML = `<img src="absent.png" onerror="window.ran = 'a handler'"><img src="${stolen}">`;
      window.failed = 0;
      for (const picture of pictures.children) picture.addEventListener("error", () => (window.failed += 1));
      document.body.append(script, pictures);
    }, stolen);
    await tab.until("both pictures to fail", () => window.failed === 2, undefined, 10);
    await tab.until("words on all three", () => window.refused.length > 2, undefined, 10);
    assert.deepEqual(await tab.evaluate(() => window.refused.sort()), [`img-src ${stolen}`, "script-src-attr inline", "script-src-elem inline"]);
    assert.equal(await tab.evaluate(() => window.ran), undefined);
    assert.ok(tab.site.asked.includes("absent.png") && !tab.site.asked.includes("stolen.png"), "it was fetched");
  },
};
