/** @import { Batch, Entry, Message, Store, Stored, Uuid } from "../types.js" */
import { joined, newerMessage, newerThread } from "../held.js";
import { lockOf } from "./lock.js";

const VERSION = 1;
const HELD = ["threads", "messages", "ranges"];
const ALL = [...HELD, "meta", "outbox"];

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
export class IndexedDbStore {
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
    this.#name = name;
    this.#factory = factory;
    const Channel = globalThis.BroadcastChannel;
    this.#channel = Channel ? new Channel(name) : null;
    // Node would wait for it.
    /** @type {any} */ (this.#channel)?.unref?.();
  }

  /**
   * What is held, of each thread the newest `keep` messages; the others are removed.
   *
   * @param {number} keep
   * @returns {Promise<Stored>}
   */
  load(keep) {
    return this.#transaction("readwrite", async (of) => {
      const [meta, threads, all, ranges, outbox] = await Promise.all([
        done(of("meta").get("meta")),
        done(of("threads").getAll()),
        done(of("messages").getAll()),
        done(of("ranges").getAll()),
        done(of("outbox").getAll()),
      ]);
      /** @type {Map<number, number>} */
      const counts = new Map();
      /** @type {Map<number, number>} */
      const from = new Map(ranges.map((range) => [range.thread, range.from]));
      /** @type {Message[]} */
      const messages = [];
      // By id: from the newest on.
      for (const message of all.reverse()) {
        const count = (counts.get(message.thread) ?? 0) + 1;
        counts.set(message.thread, count);
        if (count <= keep) {
          messages.push(message);
          continue;
        }
        of("messages").delete(message.id);
        from.set(message.thread, Math.max(from.get(message.thread) ?? 0, message.id + 1));
      }
      const kept = [...from].map(([thread, from]) => ({ thread, from }));
      for (const range of kept) of("ranges").put(range);
      return {
        user_id: meta?.user_id ?? null,
        generation: meta?.generation ?? 0,
        cursor: meta?.cursor ?? null,
        next: meta?.next ?? null,
        threads,
        messages,
        ranges: kept,
        outbox: outbox.sort((a, b) => a.seq - b.seq),
      };
    });
  }

  /**
   * @param {number} generation
   * @param {Batch} batch
   */
  apply(generation, batch) {
    return this.#transaction("readwrite", async (of) => {
      const meta = (await done(of("meta").get("meta"))) ?? {};
      if ((meta.generation ?? 0) !== generation) return false;
      await write(of, meta, batch);
      return true;
    });
  }

  /** @param {Batch} batch */
  reset(batch) {
    return this.#transaction("readwrite", async (of) => {
      const meta = (await done(of("meta").get("meta"))) ?? {};
      for (const name of HELD) of(name).clear();
      const generation = (meta.generation ?? 0) + 1;
      await write(of, { ...meta, generation, cursor: null, next: null }, batch);
      return generation;
    });
  }

  /** @returns {Promise<Entry[]>} */
  outbox() {
    return this.#transaction("readonly", async (of) => {
      const entries = await done(of("outbox").getAll());
      return entries.sort((a, b) => a.seq - b.seq);
    });
  }

  /** @param {Entry} entry */
  async put(entry) {
    const seq = await this.#transaction("readwrite", async (of) => {
      let { seq } = entry;
      if (!seq) {
        const meta = (await done(of("meta").get("meta"))) ?? {};
        seq = (meta.seq ?? 0) + 1;
        of("meta").put({ ...meta, seq }, "meta");
      }
      of("outbox").put({ ...entry, seq });
      return seq;
      // On the disk before the first byte leaves.
    }, "strict");
    this.#channel?.postMessage("outbox");
    return seq;
  }

  /** @param {Uuid} clientRef */
  async remove(clientRef) {
    await this.#transaction("readwrite", async (of) => void of("outbox").delete(clientRef));
    this.#channel?.postMessage("outbox");
  }

  async clear() {
    await this.#transaction("readwrite", async (of) => {
      const meta = (await done(of("meta").get("meta"))) ?? {};
      for (const name of ALL) of(name).clear();
      // Other tabs must not write on.
      of("meta").put({ generation: (meta.generation ?? 0) + 1, seq: meta.seq ?? 0 }, "meta");
    });
    this.#channel?.postMessage("outbox");
  }

  /** @param {AbortSignal} signal */
  lock(signal) {
    return lockOf(this.#name, signal);
  }

  /** @param {() => void} changed */
  watch(changed) {
    this.#channel?.addEventListener("message", changed);
    return () => this.#channel?.removeEventListener("message", changed);
  }

  close() {
    this.#channel?.close();
    this.#database?.then((database) => database.close(), () => {});
    this.#database = null;
  }

  #open() {
    return (this.#database ??= new Promise((resolve, reject) => {
      const request = this.#factory.open(this.#name, VERSION);
      request.onupgradeneeded = () => {
        const database = request.result;
        database.createObjectStore("meta");
        database.createObjectStore("threads", { keyPath: "id" });
        database.createObjectStore("messages", { keyPath: "id" });
        database.createObjectStore("ranges", { keyPath: "thread" });
        database.createObjectStore("outbox", { keyPath: "client_ref" });
      };
      request.onsuccess = () => {
        const database = request.result;
        const forget = () => (this.#database = null);
        // The browser ends it, or another tab wants to upgrade or delete it: opened again when it is needed.
        database.onclose = forget;
        database.onversionchange = () => {
          database.close();
          forget();
        };
        resolve(database);
      };
      request.onerror = () => {
        this.#database = null;
        reject(request.error);
      };
    }));
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(of: (name: string) => IDBObjectStore) => Promise<T>} work
   * @param {IDBTransactionDurability} [durability]
   * @returns {Promise<T>}
   */
  async #transaction(mode, work, durability = "relaxed") {
    const database = await this.#open();
    const transaction = database.transaction(ALL, mode, { durability });
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
    });
    ended.catch(() => {});
    try {
      const result = await work((name) => transaction.objectStore(name));
      await ended;
      return result;
    } catch (error) {
      try {
        transaction.abort();
      } catch {
        // It has ended.
      }
      throw error;
    }
  }
}

/**
 * @param {(name: string) => IDBObjectStore} of
 * @param {any} meta
 * @param {Batch} batch
 */
async function write(of, meta, { user_id, cursor, next, threads, messages, ranges, removed, settled }) {
  of("meta").put(
    {
      ...meta,
      user_id: user_id ?? meta.user_id ?? null,
      cursor: cursor === undefined ? meta.cursor : cursor,
      next: next === undefined ? meta.next : next,
    },
    "meta",
  );
  /**
   * @template T
   * @param {string} name
   * @param {T[]} items
   * @param {(item: T) => number} key
   * @param {(held: any, item: T) => any} merge
   */
  const upsert = (name, items, key, merge) =>
    Promise.all(
      items.map(async (item) => {
        const held = await done(of(name).get(key(item)));
        const merged = merge(held, item);
        if (merged !== held) of(name).put(merged);
      }),
    );
  await Promise.all([
    upsert("threads", threads, (thread) => thread.id, newerThread),
    upsert("messages", messages, (message) => message.id, newerMessage),
    // Two of one thread are read before either is written, so one after the other.
    ranges.reduce(
      (before, range) =>
        before.then(async () => {
          const held = await done(of("ranges").get(range.thread));
          of("ranges").put({ thread: range.thread, from: joined(held?.from, range) });
        }),
      Promise.resolve(),
    ),
  ]);
  for (const id of removed) of("messages").delete(id);
  for (const ref of settled) of("outbox").delete(ref);
}
