/** Conversations in IndexedDB: a row for each head and for each turn, so that an answer is kept as it grows. */

import type { Document } from "./passages.ts";
import { type Head, type Kept, Tree, type Turn } from "./tree.ts";

const NAME = "quire-conversations";

let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("heads", { keyPath: "id" });
      request.result.createObjectStore("turns", { keyPath: ["conversation", "id"] });
      request.result.createObjectStore("documents", { keyPath: ["conversation", "id"] });
    };
    request.onerror = () => reject(request.error ?? new Error("The browser keeps nothing here."));
    request.onsuccess = () => {
      const db = request.result;
      // A newer page, or another tab that clears everything, need not wait for this one.
      db.onclose = db.onversionchange = () => {
        db.close();
        opened = undefined;
      };
      resolve(db);
    };
  });
  opened.catch(() => (opened = undefined));
  return opened;
}

/**
 * Whether anything was ever kept. To look for it makes no database: a page that is left while it makes one, and frozen by the browser, would have
 * all others wait.
 */
async function isThere(): Promise<boolean> {
  if (opened || !indexedDB.databases) return true;
  return (await indexedDB.databases()).some(({ name }) => name === NAME);
}

type Name = "heads" | "turns" | "documents";
type Stores = Record<Name, IDBObjectStore>;

/** Does `work` in one transaction; resolves once it is on the disk, as far as the browser says. */
async function transact<T>(mode: IDBTransactionMode, work: (stores: Stores) => IDBRequest<T> | void): Promise<T> {
  const db = await open();
  const names: Name[] = ["heads", "turns", "documents"];
  const transaction = db.transaction(names, mode);
  return new Promise((resolve, reject) => {
    const request = work(Object.fromEntries(names.map((name) => [name, transaction.objectStore(name)])) as Stores);
    transaction.oncomplete = () => resolve(request?.result as T);
    transaction.onabort = () => reject(transaction.error ?? new Error("The browser kept nothing."));
  });
}

/** All rows of a conversation. */
const of = (id: string) => IDBKeyRange.bound([id], [id, []]);

/** The conversations, those that changed last first. */
export async function list(): Promise<Head[]> {
  if (!(await isThere())) return [];
  const heads = await transact("readonly", ({ heads }) => heads.getAll() as IDBRequest<Head[]>);
  return heads.sort((a, b) => b.changed - a.changed);
}

/** The conversation of an id, if there is one. */
export async function find(id: string): Promise<Tree | undefined> {
  if (!(await isThere())) return undefined;
  const head = await transact("readonly", ({ heads }) => heads.get(id) as IDBRequest<Head | undefined>);
  return head && (await read(head));
}

/** A conversation with all that belongs to it. */
export async function read(head: Head): Promise<Tree> {
  const turns = await transact("readonly", ({ turns }) => turns.getAll(of(head.id)) as IDBRequest<Turn[]>);
  const documents = await transact("readonly", ({ documents }) => documents.getAll(of(head.id)) as IDBRequest<Document[]>);
  return new Tree(head, turns, documents);
}

/**
 * Keeps a head, and those of the turns that are new or other than before; all there is where nothing is kept of the conversation, as at
 * first or when another tab has removed it; then nothing of what only `grows`, since that tab may not have been heard yet. The name that is
 * kept stays: it may have been given meanwhile.
 */
export async function keep({ head, turns: all, documents }: Kept, changed = all, grows = false): Promise<void> {
  const before = await transact("readwrite", ({ heads, turns }) => {
    const kept = heads.get(head.id) as IDBRequest<Head | undefined>;
    kept.onsuccess = () => {
      if (grows && !kept.result) return;
      head.title = kept.result?.title || head.title;
      heads.put(head);
      for (const turn of kept.result ? changed : all) turns.put(turn);
      heads.transaction.commit();
    };
    return kept;
  });
  if (grows && !before) return;
  tell({ id: head.id, title: head.title, turns: changed });
  // What was said stays even if a document is too large.
  if (!before) await Promise.all(documents.map(keepDocument));
}

/** Names a conversation, if it is still there. */
export async function rename(id: string, title: string): Promise<void> {
  await transact("readwrite", ({ heads }) => {
    const kept = heads.get(id) as IDBRequest<Head | undefined>;
    kept.onsuccess = () => {
      if (kept.result) heads.put({ ...kept.result, title });
    };
  });
  tell({ id, title });
}

export async function keepDocument(document: Document): Promise<void> {
  await transact("readwrite", ({ documents }) => {
    documents.put(document);
    documents.transaction.commit();
  });
  tell({ id: document.conversation, given: document });
}

export async function removeDocument({ conversation, id }: Document): Promise<void> {
  await transact("readwrite", ({ documents }) => {
    documents.delete([conversation, id]);
    documents.transaction.commit();
  });
  tell({ id: conversation, taken: id });
}

export async function remove(id: string): Promise<void> {
  await transact("readwrite", ({ heads, turns, documents }) => {
    heads.delete(id);
    turns.delete(of(id));
    documents.delete(of(id));
  });
  tell({ id, removed: true });
}

/** What has become other of a conversation. */
export interface Change {
  id: string;
  removed?: boolean;
  turns?: Turn[];
  title?: string;
  /** A document that was given to it, and the id of one that was taken from it. */
  given?: Document;
  taken?: string;
  /** Whoever answers in it is to stop. */
  stop?: boolean;
}

const channel = globalThis.BroadcastChannel && new BroadcastChannel(NAME);

/** Has the tab stop that answers in a conversation. */
export const stop = (id: string): void => tell({ id, stop: true });

function tell(change: Change): void {
  channel?.postMessage(change);
}

/** Calls `listener` when another tab has kept or removed something. */
export function watch(listener: (change: Change) => void): void {
  channel?.addEventListener("message", ({ data }: MessageEvent<Change>) => listener(data));
}
