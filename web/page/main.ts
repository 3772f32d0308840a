/** The page: loads a model, then talks with it. */

import { createEngine, type Engine, type EngineOptions, isSupported, QuireError } from "../src/index.ts";
import { Chat, words } from "./chat.ts";
import { element } from "./dom.ts";
import { Live } from "./live.ts";
import { Loading } from "./loading.ts";
import { available, offer } from "./models.ts";

const chat = new Chat();
const loading = new Loading();
const live = new Live();
const message = element<HTMLTextAreaElement>("message");
const send = element<HTMLButtonElement>("send");
const stop = element<HTMLButtonElement>("stop");
const newChat = element("new-chat");
const trouble = element("trouble");

let engine: Engine | undefined;
let load: AbortController | undefined;
let isAnswering = false;

/** Makes the controls say what can be done now. */
function refresh(): void {
  send.disabled = !engine || message.value.trim() === "";
  send.hidden = isAnswering;
  stop.hidden = !isAnswering;
  newChat.hidden = chat.isEmpty;
  element("welcome").hidden = !chat.isEmpty || !trouble.hidden;
}

function showTrouble(title: string, text: string, retry?: () => void): void {
  element("trouble-title").textContent = title;
  element("trouble-words").textContent = text;
  const button = element<HTMLButtonElement>("retry");
  button.hidden = !retry;
  button.onclick = retry ?? null;
  trouble.hidden = false;
  refresh();
}

/** The last part of an address, without what follows a `?`. */
function nameOf(model: string | File): string {
  if (typeof model !== "string") return model.name;
  try {
    return decodeURIComponent(new URL(model, location.href).pathname.split("/").pop() ?? model);
  } catch {
    return model;
  }
}

/** What the page's own address grants the engine, such as `?max_gpu_bytes=2e9&max_ram_bytes=1e9`. */
function budgets(query: string): Pick<EngineOptions, "maxGpuBytes" | "maxRamBytes"> {
  const asked = new URLSearchParams(query);
  const bytes = (name: string) => Number(asked.get(name) || NaN);
  const [gpu, ram] = [bytes("max_gpu_bytes"), bytes("max_ram_bytes")];
  return { ...(gpu > 0 && { maxGpuBytes: gpu }), ...(ram >= 0 && { maxRamBytes: ram }) };
}

async function open(model: string | File): Promise<void> {
  load?.abort();
  const mine = (load = new AbortController());
  chat.clear();
  trouble.hidden = true;
  element("model").textContent = nameOf(model);
  element("adapter").textContent = "";
  live.end();
  await engine?.unload();
  engine = undefined;
  loading.start();
  refresh();
  try {
    const loaded = await createEngine({
      model,
      ...budgets(location.search),
      signal: mine.signal,
      onProgress: (progress) => {
        if (load === mine) loading.show(progress);
      },
    });
    engine = loaded;
    live.start(loaded);
    // For the console.
    Object.assign(globalThis, { engine });
    element("model").textContent = loaded.info.name;
    element("adapter").textContent = loaded.info.adapter;
    message.focus();
  } catch (error) {
    if (load !== mine) return; // another model was chosen meanwhile
    const isUnsupported = error instanceof QuireError && error.code === "no_webgpu";
    showTrouble(
      isUnsupported ? "This browser cannot run the model" : "The model could not be loaded",
      words(error),
      () => void open(model),
    );
  }
  if (load === mine) loading.end();
  refresh();
}

async function ask(): Promise<void> {
  const text = message.value.trim();
  if (!engine || isAnswering || text === "") return;
  message.value = "";
  isAnswering = true;
  const answered = chat.ask(engine, text);
  refresh();
  await answered;
  isAnswering = false;
  refresh();
}

element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  void ask();
});
message.addEventListener("input", refresh);
message.addEventListener("keydown", (event) => {
  // While an input method composes, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void ask();
});
stop.addEventListener("click", () => {
  chat.stop();
  message.focus();
});
newChat.addEventListener("click", () => {
  chat.clear();
  refresh();
  message.focus();
});

const support = await isSupported();
if (support.ok) {
  const { first, choices } = await available();
  offer(choices, (model) => void open(model));
  if (first) await open(first);
  else showTrouble("No model yet", "Choose one with the Model button above.");
} else {
  element("choose").hidden = true;
  message.disabled = true;
  showTrouble("This browser cannot run the model", support.reason);
}
