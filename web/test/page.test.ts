import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, parse } from "../page/settings.ts";
import { bytes, duration, Rate } from "../page/format.ts";
import { describe, usedBetween } from "../page/grid.ts";
import { words } from "../page/live.ts";
import { decode } from "../page/plain.ts";
import type { Stats } from "../src/index.ts";

test("bytes are told in decimal units", () => {
  assert.deepEqual([0, 999, 1000, 98_362_432, 12_109_566_560].map(bytes), ["0 B", "999 B", "1.0 kB", "98.4 MB", "12.1 GB"]);
});

test("durations are rounded up to what a person waits", () => {
  assert.deepEqual([0.2, 59, 61, 3599, 3660].map(duration), ["1 s", "59 s", "2 min", "60 min", "1 h 1 min"]);
});

test("a rate follows the last seconds and starts over with a smaller total", () => {
  const rate = new Rate();
  assert.equal(rate.add(0, 0), undefined);
  assert.equal(rate.add(1000, 1000), 1000);
  for (let second = 2; second <= 20; second += 1) rate.add(1000 + (second - 1) * 50, second * 1000);
  assert.equal(rate.add(2000, 21_000), 50);
  assert.equal(rate.add(10, 21_100), undefined);
});

test("the address sets how the model answers, and nonsense sets nothing", () => {
  assert.deepEqual(requestOf(parse(null), "?model=x&temperature=0&seed=7&reasoning_effort=low"), { temperature: 0, seed: 7, reasoning_effort: "low" });
  assert.deepEqual(requestOf(parse(null), "?temperature=&seed=x&reasoning_effort=none"), {});
});

test("the fill tells how far it is, how fast, and how long it will take", () => {
  const fill = { type: "fill", state: "running", loaded: 3_100_000_000, total: 12_100_000_000, verified: false } as const;
  assert.equal(words(fill, "here", 30e6), "25 % of the model is here, 3.1 GB of 12.1 GB · 30.0 MB/s · 5 min left");
  assert.match(words({ ...fill, state: "waiting" }, "here"), / · more comes with the first answer$/);
  assert.match(words({ ...fill, state: "waiting" }, "here", 30e6), / · 30.0 MB\/s · for the first answer$/);
  assert.equal(words({ ...fill, state: "paused" }, "here", 30e6), "25 % of the model is here, 3.1 GB of 12.1 GB · paused");
  assert.equal(words({ ...fill, state: "done", loaded: fill.total }, "here"), "All of the model is here, 12.1 GB");
  assert.equal(words({ ...fill, state: "paused" }, "server"), "25 % of the model is on the server, 3.1 GB of 12.1 GB · paused");
  assert.equal(words({ ...fill, state: "done", loaded: fill.total }, "all on the GPU"), "All of the model is on the GPU, 12.1 GB");
  assert.match(words(fill, "here", 30e6, 10e9), / · 5 min left · the browser has room for 10.0 GB$/);
  assert.equal(words(fill, "here", 30e6, fill.total), words(fill, "here", 30e6));
  assert.match(words(fill, "GPU"), /^25 % of the GPU's share is there/);
});

test("the grid is told in words", () => {
  const stats = { hits: 3, misses: 1, tokens: 2, passes: 5, stall_seconds: 0.25 } as Stats;
  const places: Stats["places"] = [["gpu", "disk", "network"], ["gpu", "gpu", "ram"]];
  assert.equal(
    describe({ ...stats, places }),
    "Of 6 experts 3 on the GPU, 1 in RAM, 1 on disk, 1 still on the network. 75 % of uses found theirs on the GPU; 2.5 passes a token, 0.3 s of waiting.",
  );
  assert.match(describe({ ...stats, places: [] }), /no experts/);
});

test("what was used between two looks shows by what its heat has lost", () => {
  const half = (heats: number[]) => heats.map((heat) => heat / 2);
  const before = [[17.8, 0, 4, 0.1], [0, 0, 0, 0]];
  const [first, second] = [half(before[0]!), before[1]!];
  assert.deepEqual(usedBetween(before, [first, second]), [[], []]);
  // One that every token uses keeps its heat.
  assert.deepEqual(usedBetween(before, [[17.8, 0.9, first[2]!, first[3]!], [1, 0, 0, 0]]), [[0, 1], [0]]);
  assert.deepEqual(usedBetween([], before), [[], []]);
});

test("text is read in the encoding of its time and place", () => {
  const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (two) => parseInt(two, 16));
  assert.equal(decode(new TextEncoder().encode("斑马, zèbre"), ["en"]), "斑马, zèbre");
  assert.equal(decode(bytes("b0dfc2ed"), ["en-GB", "zh-CN"]), "斑马");
  assert.equal(decode(bytes("b4b3b0a8"), ["zh-TW"]), "斑馬");
  assert.equal(decode(bytes("82b582dc82a482dc"), ["ja"]), "しまうま");
  assert.equal(decode(bytes("7ae86272"), ["fr"]), "zèbr");
  assert.equal(decode(bytes("fffe91656c9a"), ["en"]), "斑马");
  assert.equal(decode(bytes("feff6591"), []), "斑");
  assert.equal(decode(bytes("41004200"), ["en"]), undefined);
});
