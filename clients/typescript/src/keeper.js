/** The state, and the store behind it: changes are seen at once, and stored in batches with the cursor after them. */

/** @import { Batch, HeldThread, Message, Range, Store, ThreadState, Uuid } from "./types.js" */
import { State } from "./state.js";

/** @returns {Batch} */
const empty = () => ({ threads: [], messages: [], ranges: [], removed: [], settled: [] });

export class Keeper extends State {
  /** The place in the feed that everything held is good up to. @type {string | null} */
  cursor = null;
  /** Where the list of threads goes on. @type {string | null} */
  next = null;
  /** @type {Uuid | null} */
  user_id = null;
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
   * @param {{ onReplaced(): void, troubled(error: unknown): void }} on `onReplaced`: by another tab
   */
  constructor(store, delay, on) {
    super();
    this.store = store;
    this.delay = delay;
    this.on = on;
  }

  /** @param {number} keep */
  async open(keep) {
    const stored = await this.store.load(keep);
    this.load(stored);
    this.#take();
    this.#broken = false;
    this.#generation = stored.generation;
    ({ cursor: this.cursor, next: this.next, user_id: this.user_id } = stored);
    return stored.outbox;
  }

  /** @param {Partial<Pick<Keeper, "user_id" | "cursor" | "next">>} part */
  set(part) {
    Object.assign(this, part);
    Object.assign(this.#batch, part);
    this.#soon();
  }

  /** @param {ThreadState & Partial<HeldThread>} thread @override */
  thread(thread) {
    const held = super.thread(thread);
    if (held) this.#batch.threads.push(held);
    this.#soon();
    return held;
  }

  /** @param {Message} message @override */
  message(message) {
    const applied = super.message(message);
    if (applied) this.#batch.messages.push(message);
    if (message.client_ref) this.#batch.settled.push(message.client_ref);
    this.#soon();
    return applied;
  }

  /** @param {Range} range @override */
  range(range) {
    super.range(range);
    this.#batch.ranges.push(range);
    this.#soon();
  }

  /** @param {number} id @override */
  remove(id) {
    super.remove(id);
    this.#batch.removed.push(id);
    this.#soon();
  }

  /** A snapshot: what `fill` adds replaces all that is held. @param {boolean} isOther of another history @param {() => void} fill */
  reset(isOther, fill) {
    return this.#queue(async () => {
      this.clear(isOther);
      this.#take();
      fill();
      try {
        this.#generation = await this.store.reset(this.#take());
      } catch (error) {
        // What is stored is good up to an older cursor: nothing of what comes now may be added to it.
        this.#broken = true;
        this.on.troubled(error);
      }
    });
  }

  /** Stores all that has changed. */
  flush() {
    return this.#queue(async () => {
      if (!this.#dirty || this.#broken) return;
      const batch = this.#take();
      const generation = this.#generation;
      try {
        const applied = await this.store.apply(generation, batch);
        if (!applied && generation === this.#generation) this.on.onReplaced();
      } catch (error) {
        // With what comes next: no cursor is stored without what is before it.
        /** @type {any} */
        const later = this.#batch;
        /** @type {any} */
        const both = (this.#batch = { ...batch, ...later });
        for (const key in empty()) both[key] = [.../** @type {any} */ (batch)[key], ...later[key]];
        this.#dirty = true;
        this.on.troubled(error);
      }
    });
  }

  /**
   * One write at a time: a later one may not succeed before an earlier one has failed.
   *
   * @param {() => Promise<void>} write
   */
  #queue(write) {
    const done = this.#writing.then(write);
    this.#writing = done.catch(() => {});
    return done;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** What is to be stored: nothing is, then. */
  #take() {
    this.stop();
    const batch = this.#batch;
    this.#batch = empty();
    this.#dirty = false;
    return batch;
  }

  #soon() {
    this.#dirty = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, this.delay);
  }
}
