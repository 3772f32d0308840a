// What must hold in every browser. The tests of a suite share one tab, or what its `open` gives, and run in order; each
// is a sentence.

import * as cache from "./cache.mjs";
import * as cached from "./cached.mjs";
import * as chats from "./chats.mjs";
import * as documents from "./documents.mjs";
import * as engine from "./engine.mjs";
import * as examples from "./examples.mjs";
import * as experts from "./experts.mjs";
import * as faults from "./faults.mjs";
import * as forms from "./forms.mjs";
import * as hostile from "./hostile.mjs";
import * as imports from "./imports.mjs";
import * as keeping from "./keeping.mjs";
import { openKernels, tests as kernels } from "./kernels.mjs";
import * as live from "./live.mjs";
import * as losses from "./losses.mjs";
import * as offline from "./offline.mjs";
import * as packaged from "./packaged.mjs";
import * as page from "./page.mjs";
import { openProfile } from "./profile.mjs";
import * as ram from "./ram.mjs";
import * as room from "./room.mjs";
import * as scripted from "./scripted.mjs";
import * as serve from "./serve.mjs";
import { openServed, tests as served } from "./served.mjs";
import * as settings from "./settings.mjs";
import * as shell from "./shell.mjs";
import { openSite, tests as site } from "./site.mjs";
import * as size from "./size.mjs";
import { openStandin } from "./standin.mjs";
import * as tabs from "./tabs.mjs";
import * as tools from "./tools.mjs";

/** What is said natively; only `cargo xtask test --long` knows. */
const native = process.env.NATIVE && JSON.parse(process.env.NATIVE);

/** For suites that open browsers by themselves. */
const openNothing = async () => ({});

export const suites = [
  { name: "without WebGPU", webgpu: false, tests: page.withoutWebGpu },
  { name: "the page", tests: page.conversation },
  { name: "conversations", only: "Chromium", open: openStandin, tests: chats.tests },
  { name: "conversations", only: "Firefox", open: openStandin, tests: chats.inFirefox },
  { name: "a conversation in two tabs", open: openStandin, tests: tabs.tests },
  { name: "what answers look like", only: "Chromium", open: openStandin, tests: hostile.tests },
  { name: "settings", only: "Chromium", open: openStandin, tests: settings.tests },
  { name: "tools", only: "Chromium", open: openStandin, tests: tools.tests },
  { name: "tools", only: "Firefox", open: openStandin, tests: tools.inFirefox },
  { name: "tools of a model in the page", only: "Firefox", tests: tools.withModel }, // Chromium's adapter takes half a minute
  { name: "what is kept and said of it", only: "Chromium", open: openStandin, tests: keeping.tests },
  { name: "the shell around the page", only: "Chromium", open: openStandin, tests: shell.tests },
  { name: "the model at work", only: "Chromium", open: openStandin, tests: live.tests },
  { name: "what is larger than its place", only: "Chromium", open: openStandin, tests: room.tests },
  { name: "the static site", only: "Chromium", open: openSite, tests: site },
  { name: "the static site without a network", open: openNothing, tests: offline.tests },
  { name: "documents", only: "Chromium", open: openStandin, tests: { ...documents.tests, ...documents.inAnyScript } },
  { name: "documents", only: "Firefox", open: openStandin, tests: documents.inAnyScript },
  { name: "the page of quire serve", open: openServed, tests: served },
  { name: "the experts", only: "Firefox", tests: experts.tests }, // Chromium's adapter takes two minutes for its answer
  { name: "the experts in RAM", only: "Firefox", tests: ram.tests },
  { name: "the kernels", open: openKernels, tests: kernels },
  { name: "a wrong address", tests: page.wrongAddress },
  { name: "the engine", tests: engine.tests },
  { name: "the engine in subgroups", only: "Chromium", tests: engine.inSubgroups }, // Firefox has none
  { name: "the engine at length", only: "Firefox", tests: engine.longer },
  { name: "the engine over a bad line", only: "Firefox", tests: faults.tests },
  { name: "the engine on a GPU that is lost", only: "Chromium", tests: losses.tests }, // Firefox has no command to lose it
  { name: "answers of a form", only: "Chromium", tests: forms.tests },
  { name: "answers of a form", only: "Firefox", tests: { ...forms.tests, ...forms.calls } },
  { name: "the package", only: "Chromium", tests: packaged.tests },
  { name: "the package", only: "Firefox", tests: packaged.inFirefox },
  { name: "the examples", only: "Firefox", tests: packaged.examples }, // Chromium's adapter takes 15 to 30 s for each, Firefox's 2
  { name: "an example in the making", only: "Chromium", tests: packaged.development },
  { name: "the examples in trouble", only: "Firefox", tests: examples.tests },
  { name: "the service worker", only: "Chromium", tests: { ...serve.tests, ...serve.stopped, ...serve.gone } },
  { name: "the service worker", only: "Firefox", tests: { ...serve.tests, ...serve.gone } },
  { name: "the service worker with a model that calls", only: "Chromium", tests: scripted.tests },
  { name: "the service worker with a model that calls", only: "Firefox", tests: { ...scripted.tests, ...scripted.several } },
  { name: "the cache", open: openProfile, tests: { ...imports.tests, ...cache.tests } },
  { name: "the cache and its worker", only: "Chromium", open: openProfile, tests: cache.inChromium },
  { name: "the cache in private", webgpu: false, tests: cache.inPrivate },
  { name: "the cached engine", open: openProfile, tests: cached.tests },
  ...(native
    ? [
        { name: "a model of true widths", only: "Firefox", tests: size.tests(native) },
        { name: "a long answer", tests: engine.longest(native) },
      ]
    : []),
];
