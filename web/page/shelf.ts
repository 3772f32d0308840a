/** Conversations in IndexedDB: a row for each head and for each turn, so that an answer is kept as it grows. */

import type { Document } from "./passages.ts";
import { type Head, Tree, type Turn } from "./tree.ts";

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
  const heads = await transact("readonly", ({ heads }) => heads.getAll() as IDBRequest<Head[]>);
  return heads.sort((a, b) => b.changed - a.changed);
}

export function head(id: string): Promise<Head | undefined> {
  return transact("readonly", ({ heads }) => heads.get(id) as IDBRequest<Head | undefined>);
}

/** A conversation with all that belongs to it. */
export async function read(head: Head): Promise<Tree> {
  const turns = await transact("readonly", ({ turns }) => turns.getAll(of(head.id)) as IDBRequest<Turn[]>);
  const documents = await transact("readonly", ({ documents }) => documents.getAll(of(head.id)) as IDBRequest<Document[]>);
  return new Tree(head, turns, documents);
}

/** Keeps a head, and of its turns and documents those that are new or other than before. */
export async function keep(head: Head, changed: Turn[] = [], given: Document[] = []): Promise<void> {
  await transact("readwrite", ({ heads, turns, documents }) => {
    heads.put(head);
    for (const turn of changed) turns.put(turn);
    for (const document of given) documents.put(document);
  });
  tell();
}

export async function removeDocument({ conversation, id }: Document): Promise<void> {
  await transact("readwrite", ({ documents }) => void documents.delete([conversation, id]));
}

export async function remove(id: string): Promise<void> {
  await transact("readwrite", ({ heads, turns, documents }) => {
    heads.delete(id);
    turns.delete(of(id));
    documents.delete(of(id));
  });
  tell();
}

const channel = globalThis.BroadcastChannel && new BroadcastChannel(NAME);

function tell(): void {
  channel?.postMessage("changed");
}

/** Calls `listener` when another tab has kept or removed something. */
export function watch(listener: () => void): void {
  channel?.addEventListener("message", listener);
}
