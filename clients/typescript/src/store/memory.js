/** @import { Store } from "../types.js" */
/** @import { Table, TableName } from "./tables.js" */
import { queue } from "./lock.js";
import { TABLES, TableStore } from "./tables.js";

/**
 * Keeps everything until the page or the process ends. Several clients may share one.
 *
 * @implements {Store}
 */
export class MemoryStore extends TableStore {
  #tables = /** @type {Record<TableName, Table>} */ (
    Object.fromEntries(Object.entries(TABLES).map(([name, key]) => [name, table(key)]))
  );
  /** Transactions, one after the other. @type {Promise<unknown>} */
  #last = Promise.resolve();
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /**
   * @template T
   * @param {(of: Record<TableName, Table>) => Promise<T>} work nothing in it fails
   * @returns {Promise<T>}
   * @override
   */
  transaction(work) {
    const done = this.#last.then(() => work(this.#tables));
    this.#last = done;
    return done;
  }

  /** @override */
  changed() {
    for (const changed of this.#watchers) queueMicrotask(changed);
  }

  /** @param {AbortSignal} signal */
  lock(signal) {
    return queue(this, signal);
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
