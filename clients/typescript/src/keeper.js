/** The state, and the store behind it: changes are seen at once, and stored in batches with the cursor after them. */

/** @import { Batch, HeldThread, Message, Range, Store, ThreadState, Uuid } from "./types.js" */
import { State } from "./state.js";

/** @returns {Batch} */
const empty = () => ({ threads: [], messages: [], ranges: [], removed: [], settled: [] });

export class Keeper {
  state = new State();
  /** The place in the feed that everything held is good up to. @type {string | null} */
  cursor = null;
  /** Where the list of threads goes on. @type {string | null} */
  next = null;
  /** @type {Uuid | null} */
  userId = null;
  #generation = 0;
  #batch = empty();
  #dirty = false;
  #broken = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Writes, one after the other. @type {Promise<unknown>} */
  #writing = Promise.resolve();

  /**
   * @param {Store} store
   * @param {number} delay milliseconds
   * @param {{ lost(): void, failed(error: unknown): void }} on `lost`: another tab has replaced what is stored
   */
  constructor(store, delay, on) {
    this.store = store;
    this.delay = delay;
    this.on = on;
  }

  /** @param {number} keep */
  async load(keep) {
    const stored = await this.store.load(keep);
    this.#forget();
    this.#broken = false;
    this.#generation = stored.generation;
    ({ cursor: this.cursor, next: this.next, user_id: this.userId } = stored);
    this.state.load(stored);
    return stored.outbox;
  }

  /** @param {Uuid} userId */
  setUser(userId) {
    this.userId = this.#batch.user_id = userId;
    this.#soon();
  }

  /** @param {string} cursor */
  setCursor(cursor) {
    this.cursor = this.#batch.cursor = cursor;
    this.#soon();
  }

  /** @param {string | null} next */
  setNext(next) {
    this.next = this.#batch.next = next;
    this.#soon();
  }

  /** @param {ThreadState & Partial<HeldThread>} thread */
  thread(thread) {
    const held = this.state.thread(thread);
    if (held) this.#batch.threads.push(held);
    this.#soon();
    return held;
  }

  /** @param {Message} message */
  message(message) {
    const applied = this.state.message(message);
    if (applied) this.#batch.messages.push(message);
    if (message.client_ref) this.#batch.settled.push(message.client_ref);
    this.#soon();
    return applied;
  }

  /** @param {Range} range */
  range(range) {
    this.state.range(range);
    this.#batch.ranges.push(range);
    this.#soon();
  }

  /** @param {number} id */
  remove(id) {
    this.state.remove(id);
    this.#batch.removed.push(id);
    this.#soon();
  }

  /**
   * A snapshot: what `fill` adds replaces all that is held.
   *
   * @param {() => void} fill
   */
  async reset(fill) {
    await this.#writing;
    this.state.clear();
    this.#forget();
    fill();
    const batch = this.#take();
    this.#writing = this.store.reset(batch).then(
      (generation) => void (this.#generation = generation),
      (error) => {
        // What is stored is good up to an older cursor: nothing of what comes now may be added to it.
        this.#broken = true;
        this.on.failed(error);
      },
    );
    await this.#writing;
  }

  /** Stores all that has changed. */
  async flush() {
    await this.#writing;
    if (!this.#dirty || this.#broken) return;
    const batch = this.#take();
    const generation = this.#generation;
    this.#writing = this.store.apply(generation, batch).then(
      (applied) => {
        if (!applied && generation === this.#generation) this.on.lost();
      },
      (error) => {
        // With what comes next: no cursor is stored without what is before it.
        const later = this.#batch;
        this.#batch = { ...batch, ...later };
        for (const key of /** @type {const} */ (["threads", "messages", "ranges", "removed", "settled"])) {
          /** @type {any} */ (this.#batch)[key] = [...batch[key], ...later[key]];
        }
        this.#dirty = true;
        this.on.failed(error);
      },
    );
    await this.#writing;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #take() {
    this.stop();
    const batch = this.#batch;
    this.#batch = empty();
    this.#dirty = false;
    // Of several states of one object the last: it is the newest.
    batch.threads = [...new Map(batch.threads.map((thread) => [thread.id, thread])).values()];
    batch.messages = [...new Map(batch.messages.map((message) => [message.id, message])).values()];
    return batch;
  }

  #forget() {
    this.stop();
    this.#batch = empty();
    this.#dirty = false;
  }

  #soon() {
    this.#dirty = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, this.delay);
  }
}
