/** What a store promises, over tables of a database, or of what is like one. */

/** @import { Batch, Entry, Message, Stored, Uuid } from "../types.js" */
import { joined, newerMessage, newerThread } from "../held.js";

/**
 * @typedef {object} Table
 * @property {(key: IDBValidKey) => Promise<any>} get
 * @property {() => Promise<any[]>} all by their keys
 * @property {(value: any) => unknown} put by its own key
 * @property {(key: any) => unknown} remove
 * @property {() => unknown} clear
 */

/** @typedef {"meta" | "threads" | "messages" | "ranges" | "outbox"} TableName */

/** The key of each table, in its values. */
export const TABLES = { meta: "key", threads: "id", messages: "id", ranges: "thread", outbox: "client_ref" };

const META = { key: 0, user_id: null, generation: 0, cursor: null, next: null, seq: 0 };

/**
 * Runs `work` so that all of it takes effect, or nothing, and nothing else meanwhile. If it is to be `durable`, it is on the disk
 * before it is told.
 *
 * @typedef {<T>(work: (of: Record<TableName, Table>) => Promise<T>, durable?: boolean) => Promise<T>} Transaction
 */

/** Each method is one transaction. */
export class TableStore {
  /**
   * @param {Transaction} transaction
   * @param {() => void} changed called when the outbox was
   */
  constructor(transaction, changed) {
    this.transaction = transaction;
    this.changed = changed;
  }

  /**
   * @template T
   * @param {(of: Record<TableName, Table>, meta: typeof META) => Promise<T>} work
   * @param {boolean} [durable]
   * @returns {Promise<T>}
   */
  #run(work, durable) {
    return this.transaction(async (of) => work(of, (await of.meta.get(0)) ?? META), durable);
  }

  /**
   * What is held, of each thread the newest `keep` messages; the others are removed.
   *
   * @param {number} keep
   * @returns {Promise<Stored>}
   */
  load(keep) {
    return this.#run(async (of, { user_id, generation, cursor, next }) => {
      /** @type {Map<number, number>} */
      const from = new Map((await of.ranges.all()).map((range) => [range.thread, range.from]));
      /** @type {Map<number, number>} */
      const counts = new Map();
      /** @type {Message[]} */
      const all = await of.messages.all();
      const messages = all.reverse().filter(({ id, thread }) => {
        const count = (counts.get(thread) ?? 0) + 1;
        counts.set(thread, count);
        const isOld = count > keep;
        if (isOld) {
          of.messages.remove(id);
          from.set(thread, Math.max(from.get(thread) ?? 0, id + 1));
        }
        return !isOld;
      });
      const ranges = [...from].map(([thread, from]) => ({ thread, from }));
      for (const range of ranges) of.ranges.put(range);
      const threads = await of.threads.all();
      return { user_id, generation, cursor, next, threads, messages, ranges, outbox: await sorted(of.outbox) };
    });
  }

  /**
   * @param {number} generation
   * @param {Batch} batch
   */
  apply(generation, batch) {
    return this.#run(async (of, meta) => {
      if (meta.generation !== generation) return false;
      await write(of, meta, batch);
      return true;
    });
  }

  /** @param {Batch} batch */
  reset(batch) {
    return this.#run(async (of, meta) => {
      for (const table of [of.threads, of.messages, of.ranges]) table.clear();
      const generation = meta.generation + 1;
      await write(of, { ...meta, generation, cursor: null, next: null }, batch);
      return generation;
    });
  }

  /** @returns {Promise<Entry[]>} */
  outbox() {
    return this.transaction((of) => sorted(of.outbox));
  }

  /**
   * @param {Entry} entry
   * @returns {Promise<number>}
   */
  async put(entry) {
    const seq = await this.#run(async (of, meta) => {
      let { seq } = entry;
      if (!seq) {
        seq = meta.seq + 1;
        of.meta.put({ ...meta, seq });
      }
      of.outbox.put({ ...entry, seq });
      return seq;
    }, true);
    this.changed();
    return seq;
  }

  /** @param {Uuid} clientRef */
  async remove(clientRef) {
    await this.transaction(async (of) => of.outbox.remove(clientRef));
    this.changed();
  }

  async clear() {
    await this.#run(async (of, { generation, seq }) => {
      for (const table of Object.values(of)) table.clear();
      // Other tabs must not write on.
      of.meta.put({ ...META, generation: generation + 1, seq });
    });
    this.changed();
  }
}

/**
 * @param {Table} outbox
 * @returns {Promise<Entry[]>}
 */
const sorted = async (outbox) => (await outbox.all()).sort((a, b) => a.seq - b.seq);

/**
 * @param {Record<TableName, Table>} of
 * @param {typeof META} meta
 * @param {Batch} batch
 */
async function write(of, meta, { threads, messages, ranges, removed, settled, ...more }) {
  // What is not told stays.
  of.meta.put({ ...meta, ...more });
  for (const thread of threads) of.threads.put(newerThread(await of.threads.get(thread.id), thread));
  for (const message of messages) of.messages.put(newerMessage(await of.messages.get(message.id), message));
  for (const range of ranges) {
    const { thread } = range;
    of.ranges.put({ thread, from: joined((await of.ranges.get(thread))?.from, range) });
  }
  for (const id of removed) of.messages.remove(id);
  for (const ref of settled) of.outbox.remove(ref);
}
