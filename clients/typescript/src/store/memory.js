/** @import { Store } from "../types.js" */
/** @import { Table, TableName } from "./tables.js" */
import { TABLES, TableStore } from "./tables.js";

/** Keeps everything until the page or the process ends. Several clients may share one. @implements {Store} */
export class MemoryStore extends TableStore {
  /** @type {Set<() => void>} */
  #watchers = new Set();
  /** When the outbox is free again. @type {Promise<unknown>} */
  #free = Promise.resolve();

  constructor() {
    const tables = /** @type {Record<TableName, Table>} */ ({});
    for (const [name, key] of Object.entries(TABLES)) tables[/** @type {TableName} */ (name)] = table(key);
    // Transactions, one after the other. Nothing in them fails.
    /** @type {Promise<any>} */
    let last = Promise.resolve();
    super(
      (work) => (last = last.then(() => work(tables))),
      () => this.#watchers.forEach(queueMicrotask),
    );
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<() => void>}
   */
  lock(signal) {
    const free = this.#free;
    return new Promise((resolve, reject) => {
      this.#free = new Promise((release) => {
        // Who gives up must not hold up those behind, nor let them pass by.
        signal.onabort = () => {
          release(free);
          reject(signal.reason);
        };
        free.then(() => {
          signal.onabort = null;
          resolve(() => release(null));
        });
      });
    });
  }

  /** @param {() => void} changed */
  watch(changed) {
    this.#watchers.add(changed);
    return () => void this.#watchers.delete(changed);
  }
}

/**
 * @param {string} key
 * @returns {Table}
 */
function table(key) {
  /** @type {Map<any, any>} */
  const rows = new Map();
  return {
    get: async (key) => rows.get(key),
    all: async () => [...rows.values()].sort((a, b) => a[key] - b[key]),
    put: (row) => rows.set(row[key], row),
    remove: (key) => rows.delete(key),
    clear: () => rows.clear(),
  };
}
