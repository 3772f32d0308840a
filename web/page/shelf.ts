/** Conversations in IndexedDB: a row for each head and for each turn, so that an answer is kept as it grows. */

import type { Head, Turn } from "./tree.ts";

const NAME = "quire-conversations";

let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("heads", { keyPath: "id" });
      request.result.createObjectStore("turns", { keyPath: ["conversation", "id"] });
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

/** Does `work` in one transaction; resolves once it is on the disk, as far as the browser says. */
async function transact<T>(mode: IDBTransactionMode, work: (heads: IDBObjectStore, turns: IDBObjectStore) => IDBRequest<T> | void): Promise<T> {
  const db = await open();
  const transaction = db.transaction(["heads", "turns"], mode);
  return new Promise((resolve, reject) => {
    const request = work(transaction.objectStore("heads"), transaction.objectStore("turns"));
    transaction.oncomplete = () => resolve(request?.result as T);
    transaction.onabort = () => reject(transaction.error ?? new Error("The browser kept nothing."));
  });
}

/** All turns of a conversation. */
const of = (id: string) => IDBKeyRange.bound([id], [id, []]);

/** The conversations, those that changed last first. */
export async function list(): Promise<Head[]> {
  const heads = await transact("readonly", (heads) => heads.getAll() as IDBRequest<Head[]>);
  return heads.sort((a, b) => b.changed - a.changed);
}

export function head(id: string): Promise<Head | undefined> {
  return transact("readonly", (heads) => heads.get(id) as IDBRequest<Head | undefined>);
}

export function turns(id: string): Promise<Turn[]> {
  return transact("readonly", (_, turns) => turns.getAll(of(id)) as IDBRequest<Turn[]>);
}

/** Keeps a head and some of its turns. */
export async function keep(head: Head, changed: Turn[] = []): Promise<void> {
  await transact("readwrite", (heads, turns) => {
    heads.put(head);
    for (const turn of changed) turns.put(turn);
  });
  tell();
}

export async function remove(id: string): Promise<void> {
  await transact("readwrite", (heads, turns) => {
    heads.delete(id);
    turns.delete(of(id));
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
