// What must hold in every browser. The tests of a suite share one tab and run in order; each is a sentence.

import * as cache from "./cache.mjs";
import * as engine from "./engine.mjs";
import * as page from "./page.mjs";

export const suites = [
  { name: "without WebGPU", webgpu: false, tests: page.withoutWebGpu },
  { name: "the page", tests: page.conversation },
  { name: "a wrong address", tests: page.wrongAddress },
  { name: "the engine", tests: engine.tests },
  { name: "the cache", webgpu: false, tests: cache.tests },
  { name: "the cached engine", webgpu: false, tests: cache.withEngine },
];
