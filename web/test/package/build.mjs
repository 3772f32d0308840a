// Builds the same page as those who use the package would: by Vite, webpack and esbuild, and without a bundler, with the package beside
// it or on a CDN; and the examples. Each lands in a folder of its own below the first one that is named; the examples are in the second.

import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";
import webpack from "webpack";

const [out, examples] = process.argv.slice(2, 4).map((folder) => resolve(folder));
const app = resolve("app");
const dist = resolve("node_modules/quire/dist");
await rm(out, { recursive: true, force: true });

await vite({ root: app, base: "./", logLevel: "warn", build: { outDir: join(out, "vite"), emptyOutDir: true } });

await new Promise((done, fail) => {
  const output = { path: join(out, "webpack"), filename: "main.js", publicPath: "auto", clean: true };
  webpack({ mode: "production", target: "web", entry: join(app, "main.js"), output, performance: false }, (error, stats) => {
    if (error || stats.hasErrors() || stats.hasWarnings()) fail(error ?? new Error(stats.toString()));
    else done();
  });
});
await cp(join(app, "index.html"), join(out, "webpack/index.html"));

// esbuild leaves the worker where it is, beside whoever starts it; so what the worker needs is copied there.
const options = { bundle: true, format: "esm", target: "es2022", logLevel: "warning" };
await esbuild({ ...options, entryPoints: [join(app, "main.js")], outdir: join(out, "esbuild") });
for (const part of ["worker.js", "wasm"]) await cp(join(dist, part), join(out, "esbuild", part), { recursive: true });
await cp(join(app, "index.html"), join(out, "esbuild/index.html"));

/** An import map does by hand what a bundler does; `quire` is an expression. */
async function plain(name, quire) {
  const html = await readFile(join(app, "index.html"), "utf8");
  const map = `<script>
    const map = document.createElement("script");
    map.type = "importmap";
    map.textContent = JSON.stringify({ imports: { quire: ${quire} } });
    document.currentScript.after(map);
  </script>\n  <script`;
  await mkdir(join(out, name), { recursive: true });
  await writeFile(join(out, name, "index.html"), html.replace("<script", map));
  await cp(join(app, "main.js"), join(out, name, "main.js"));
}
await plain("plain", `"./quire/index.js"`);
await cp(dist, join(out, "plain/quire"), { recursive: true });
// The same server has another origin by another name.
await plain("cdn", "`http://127.0.0.1:${location.port}/apps/plain/quire/index.js`");

// As `npm run build` does, but for what it installs: here that comes from one lock file.
await rm("examples", { recursive: true, force: true });
const isSource = (path) => !path.slice(examples.length).includes("node_modules");
await cp(examples, "examples", { recursive: true, filter: isSource });
for (const { name } of (await readdir("examples", { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
  const root = resolve("examples", name);
  const built = join(out, "examples", name);
  if (name === "plain") {
    await cp(root, built, { recursive: true });
    await cp(dist, join(built, "quire"), { recursive: true });
    continue;
  }
  const { build } = JSON.parse(await readFile(join(root, "package.json"), "utf8")).scripts;
  if (build.startsWith("node ")) execFileSync("node", [build.split(" ")[1]], { cwd: root });
  await vite({ root, base: "./", logLevel: "error", build: { outDir: built, emptyOutDir: true } });
}
