import assert from "node:assert/strict";
import { test } from "node:test";
import { settings } from "../page/chat.ts";
import { bytes, duration, Rate } from "../page/format.ts";

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
  assert.deepEqual(settings("?model=x&temperature=0&seed=7&reasoning_effort=low"), { temperature: 0, seed: 7, reasoning_effort: "low" });
  assert.deepEqual(settings("?temperature=&seed=x&reasoning_effort=none"), {});
});
