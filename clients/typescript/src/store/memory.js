/** @import { Batch, Entry, HeldThread, Message, Store, Stored, Uuid } from "../types.js" */
import { joined, newerMessage, newerThread } from "../held.js";
import { queue } from "./lock.js";

/**
 * Keeps everything until the page or the process ends. Several clients may share one.
 *
 * @implements {Store}
 */
export class MemoryStore {
  /** @type {Pick<Stored, "user_id" | "cursor" | "next">} */
  #meta = { user_id: null, cursor: null, next: null };
  #generation = 0;
  #seq = 0;
  /** @type {Map<number, HeldThread>} */
  #threads = new Map();
  /** @type {Map<number, Message>} */
  #messages = new Map();
  /** @type {Map<number, number>} */
  #ranges = new Map();
  /** @type {Map<Uuid, Entry>} */
  #outbox = new Map();
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /** @returns {Promise<Stored>} */
  async load() {
    return {
      ...this.#meta,
      generation: this.#generation,
      threads: [...this.#threads.values()],
      messages: [...this.#messages.values()],
      ranges: [...this.#ranges].map(([thread, from]) => ({ thread, from })),
      outbox: await this.outbox(),
    };
  }

  /**
   * @param {number} generation
   * @param {Batch} batch
   */
  async apply(generation, batch) {
    if (generation !== this.#generation) return false;
    this.#write(batch);
    return true;
  }

  /** @param {Batch} batch */
  async reset(batch) {
    for (const held of [this.#threads, this.#messages, this.#ranges]) held.clear();
    this.#meta = { ...this.#meta, cursor: null, next: null };
    this.#write(batch);
    return ++this.#generation;
  }

  async outbox() {
    return [...this.#outbox.values()].sort((a, b) => a.seq - b.seq);
  }

  /** @param {Entry} entry */
  async put(entry) {
    const seq = entry.seq || ++this.#seq;
    this.#outbox.set(entry.client_ref, { ...entry, seq });
    this.#changed();
    return seq;
  }

  /** @param {Uuid} clientRef */
  async remove(clientRef) {
    this.#outbox.delete(clientRef);
    this.#changed();
  }

  async clear() {
    this.#outbox.clear();
    await this.reset({ threads: [], messages: [], ranges: [], removed: [], settled: [] });
    this.#meta.user_id = null;
    this.#changed();
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

  #changed() {
    for (const changed of this.#watchers) queueMicrotask(changed);
  }

  /** @param {Batch} batch */
  #write({ user_id, cursor, next, threads, messages, ranges, removed, settled }) {
    if (user_id !== undefined) this.#meta.user_id = user_id;
    if (cursor !== undefined) this.#meta.cursor = cursor;
    if (next !== undefined) this.#meta.next = next;
    for (const thread of threads) this.#threads.set(thread.id, newerThread(this.#threads.get(thread.id), thread));
    for (const message of messages) {
      this.#messages.set(message.id, newerMessage(this.#messages.get(message.id), message));
    }
    for (const range of ranges) this.#ranges.set(range.thread, joined(this.#ranges.get(range.thread), range));
    for (const id of removed) this.#messages.delete(id);
    for (const ref of settled) this.#outbox.delete(ref);
  }
}
