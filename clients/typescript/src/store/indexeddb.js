/** @import { Store } from "../types.js" */
/** @import { Table, TableName } from "./tables.js" */
import { TABLES, TableStore } from "./tables.js";

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * Keeps everything in the browser, for one user: put the user's id into the name. Tabs share it, and one at a time sends.
 *
 * @implements {Store}
 */
export class IndexedDbStore extends TableStore {
  /** @type {Promise<IDBDatabase> | null} */
  #database = null;
  #name;
  #factory;
  #channel;

  /**
   * @param {string} name
   * @param {IDBFactory} [factory]
   */
  constructor(name, factory = globalThis.indexedDB) {
    super(
      (work, durable) => this.#transaction(work, durable),
      () => this.#channel?.postMessage(0),
    );
    this.#name = name;
    this.#factory = factory;
    const Channel = globalThis.BroadcastChannel;
    this.#channel = Channel ? new Channel(name) : null;
    // Node would wait for it.
    /** @type {any} */ (this.#channel)?.unref?.();
  }

  /**
   * @template T
   * @param {(of: Record<TableName, Table>) => Promise<T>} work
   * @param {boolean} [durable]
   * @returns {Promise<T>}
   */
  async #transaction(work, durable) {
    const database = await this.#open();
    const names = Object.keys(TABLES);
    const transaction = database.transaction(names, "readwrite", { durability: durable ? "strict" : "relaxed" });
    const tables = names.map((name) => [name, table(transaction.objectStore(name))]);
    const worked = work(Object.fromEntries(tables));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(worked);
      transaction.onabort = () => reject(transaction.error);
      worked
        .catch((error) => {
          reject(error);
          transaction.abort();
        })
        // It has ended.
        .catch(() => {});
    });
  }

  /**
   * Over all tabs, by Web Locks: a tab that ends lets go. Where there are none, tabs may send at a time, and the order of what
   * they send may suffer.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<() => void>}
   */
  lock(signal) {
    return new Promise((resolve, reject) => {
      const locks = globalThis.navigator?.locks;
      if (!locks) return resolve(() => {});
      const held = () => new Promise((release) => resolve(() => release(null)));
      locks.request(this.#name, { signal }, held).catch(reject);
    });
  }

  /** @param {() => void} changed */
  watch(changed) {
    this.#channel?.addEventListener("message", changed);
    return () => this.#channel?.removeEventListener("message", changed);
  }

  close() {
    this.#channel?.close();
    this.#leave();
  }

  /** It is opened again when it is needed. */
  #leave() {
    this.#database?.then(
      (database) => database.close(),
      () => {},
    );
    this.#database = null;
  }

  #open() {
    const leave = () => this.#leave();
    const open = async () => {
      const request = this.#factory.open(this.#name, 1);
      request.onupgradeneeded = () => {
        for (const [name, keyPath] of Object.entries(TABLES)) request.result.createObjectStore(name, { keyPath });
      };
      const database = await done(request);
      // The browser ends it, or another tab wants to upgrade or delete it.
      database.onclose = database.onversionchange = leave;
      return database;
    };
    return (this.#database ??= open().catch((error) => {
      leave();
      throw error;
    }));
  }
}

/**
 * @param {IDBObjectStore} store
 * @returns {Table}
 */
const table = (store) => ({
  get: (key) => done(store.get(key)),
  all: () => done(store.getAll()),
  put: (value) => store.put(value),
  remove: (key) => store.delete(key),
  clear: () => store.clear(),
});
