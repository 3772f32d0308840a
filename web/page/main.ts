/** The page: a model, conversations with it, and what is said next. */

import { isSupported } from "../src/index.ts";
import { words } from "./answer.ts";
import { Attachments } from "./attachments.ts";
import { Chat } from "./chat.ts";
import { wireDialogs } from "./dialogs.ts";
import { element, isComposing } from "./dom.ts";
import { receive } from "./drop.ts";
import { SettingsForm } from "./form.ts";
import { drawIcons } from "./icons.ts";
import * as language from "./language.ts";
import { t } from "./language.ts";
import { List } from "./list.ts";
import { Loader } from "./loader.ts";
import { available, type Choice, lastModel, offer, remember } from "./models.ts";
import { notify } from "./notice.ts";
import { engineOf, load, requestOf } from "./settings.ts";
import * as shelf from "./shelf.ts";
import { Side } from "./side.ts";
import { Transfers } from "./transfers.ts";
import { Tree } from "./tree.ts";

const settings = load();
drawIcons(document);
await dress();
wireDialogs();

const message = element<HTMLTextAreaElement>("message");
const send = element<HTMLButtonElement>("send");
const stop = element<HTMLButtonElement>("stop");

const side = new Side();
const loader = new Loader(() => engineOf(settings, location.search), refresh);
const chat = new Chat({
  engine: () => loader.engine,
  request: () => requestOf(settings, location.search),
  before: () => (settings.system.trim() === "" ? [] : [{ role: "system", content: settings.system }]),
  changed: () => {
    refresh();
    if (!chat.isEmpty) show(chat.tree);
    attachments.show();
  },
  focusLost: () => {
    refresh();
    goOn();
  },
  paced: (pace) => {
    const { tokensPerSecond } = pace;
    loader.live.performance.paced(pace);
    element("speed").textContent = tokensPerSecond === undefined ? "" : `${tokensPerSecond.toFixed(1)} tok/s`;
  },
});
const list = new List({
  renamed: (head) => {
    chat.renamed(head);
    if (head.id === chat.tree.head.id) show(chat.tree);
  },
  forget: (id) => chat.forget(id),
  removed: (id) => {
    if (id === chat.tree.head.id) begin();
  },
});

/** Language and colours, as they are set. */
async function dress(): Promise<void> {
  document.documentElement.dataset["theme"] = settings.theme;
  const spoken = language.choose(settings.language);
  await language.speak(spoken);
  language.translate(document);
  document.documentElement.lang = spoken === "zh" ? "zh-Hans" : spoken;
}

/** Gives the focus to what comes next. */
function goOn(): void {
  (chat.isGoing ? stop : message).focus();
}

/** Makes the controls say what can be done now. */
function refresh(): void {
  send.disabled = !loader.engine || message.value.trim() === "";
  const { activeElement } = document;
  send.hidden = chat.isGoing;
  stop.hidden = !chat.isGoing;
  if (activeElement === send || activeElement === stop) goOn();
  element("welcome").hidden = !chat.isEmpty || !element("trouble").hidden || !element("loading").hidden;
  element("choose-first").hidden = loader.model !== undefined;
  chat.engineChanged();
}

/** Says in the address, the title and the list which conversation is shown. */
function show({ head }: Tree): void {
  // Where the address names another one, that is on its way.
  if (location.hash === "") history.pushState(undefined, "", `#${head.id}`);
  document.title = `${head.title} – Quire`;
  void list.show(head.id);
}

const empty = () => location.pathname + location.search;

/** An empty conversation, kept once something is said in it. */
function begin(): void {
  if (location.hash) history.pushState(undefined, "", empty());
  document.title = "Quire";
  chat.open(Tree.begin());
  void list.show("");
  side.leave();
  message.focus();
}

/** The conversation that the address names. */
async function follow(): Promise<void> {
  const id = location.hash.slice(1);
  if (id === chat.tree.head.id) return;
  const tree = id ? await shelf.find(id).catch(() => undefined) : undefined;
  // Something else may have been chosen meanwhile.
  if (location.hash.slice(1) !== id) return;
  if (!tree) {
    // Back leads past what is gone.
    history.replaceState(undefined, "", empty());
    return begin();
  }
  chat.open(tree);
  side.leave();
}

async function ask(): Promise<void> {
  const text = message.value.trim();
  if (!loader.engine || chat.isAnswering || text === "") return;
  if ((await chat.ask(text)) && message.value.trim() === text) message.value = "";
  refresh();
}

element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  void ask();
});
message.addEventListener("input", refresh);
message.addEventListener("keydown", (event) => {
  if (event.key === "ArrowUp" && message.value === "") {
    event.preventDefault();
    chat.editLast();
  }
  // While an input method composes, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
  event.preventDefault();
  void ask();
});
stop.addEventListener("click", () => {
  chat.stop();
  message.focus();
});
element("new-chat").addEventListener("click", begin);
addEventListener("popstate", () => void follow());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chat.isGoing && !document.querySelector("dialog[open]")) chat.stop();
  if (event.key.toLowerCase() === "o" && event.shiftKey && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    begin();
  }
});

element("open-storage").addEventListener("click", () => {
  element<HTMLDialogElement>("storage").showModal();
  import("./storage.ts").then(({ show }) => show()).catch((error: unknown) => notify(words(error)));
});
const attachments = new Attachments(
  () => chat.tree,
  (tree, document, isRemoved) => chat.given(tree, document, isRemoved),
);
const transfers = new Transfers(
  () => chat.tree,
  () => void list.show(),
);
new SettingsForm(
  settings,
  async (name) => {
    if (name !== "theme" && name !== "language") return;
    await dress();
    if (name === "theme") return;
    chat.show();
    attachments.show();
    loader.live.refresh();
    void list.show();
  },
  () => {
    if (loader.model) void loader.load(loader.model);
  },
);

/** Keeps the page itself for when there is no network, once there is a model to talk with. */
function keepPage(): void {
  // Private windows may have none; the page is none the worse.
  if (loader.engine) navigator.serviceWorker?.register("sw.js").catch(() => {});
}

async function open(model: string | File): Promise<void> {
  await loader.load(model);
  if (loader.engine) remember(model);
  keepPage();
  if (loader.engine && !document.querySelector("dialog[open]")) message.focus();
}

/** Takes what is dropped on the page; a model only where one can be loaded. */
function takeDropped(isServed: boolean): void {
  receive((files) => {
    const of = (ending: RegExp) => files.filter(({ name }) => ending.test(name));
    const [models, conversations] = [of(/\.gguf$/i), of(/\.json$/i)];
    if (models[0] && !isServed) void open(models[0]);
    for (const file of conversations) void transfers.take(file);
    // What is no text is said to be none.
    void attachments.take(files.filter((file) => ![...(isServed ? [] : models), ...conversations].includes(file)));
  });
}

/** Loads a model in this browser, if it can run one. */
async function beginHere(first: string | undefined, choices: Choice[]): Promise<void> {
  const support = await isSupported();
  if (support.ok) {
    offer(choices, (model) => void open(model));
    takeDropped(false);
    const model = first ?? lastModel();
    if (model) await open(model);
    return;
  }
  element("choose").hidden = element("choose-first").hidden = true;
  message.disabled = true;
  loader.showTrouble(t("This browser cannot run the model"), language.known(support.reason));
}

void list.show();
await follow();
const { first, choices, isServed } = await available();
if (isServed) {
  document.documentElement.dataset["engine"] = "server";
  takeDropped(true);
  await loader.connect();
  if (loader.engine) message.focus();
} else {
  await beginHere(first, choices);
}
