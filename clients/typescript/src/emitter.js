/** @import { AnyEvent, Events } from "./types.js" */

/** Events that an iterator keeps for a reader who is slow. */
const KEPT = 1000;

export class Emitter {
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();
  /** @type {Set<(event: AnyEvent | null) => void>} */
  #readers = new Set();

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {(event: Events[K]) => void} listener
   * @returns {() => void} takes it away
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * What a listener throws is the app's: it is reported as what nobody caught, and changes nothing here.
   *
   * @template {keyof Events} K
   * @param {K} type
   * @param {Events[K]} event
   */
  emit(type, event) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    const any = /** @type {AnyEvent} */ ({ type, ...event });
    for (const reader of this.#readers) reader(any);
  }

  /** Whether anybody would be told. @param {keyof Events} type */
  listened(type) {
    return this.#readers.size || this.#listeners.get(type)?.size;
  }

  /** Ends the iterators. */
  end() {
    for (const reader of this.#readers) reader(null);
  }

  /**
   * All events from now on, until the client is closed. Who reads too slowly finds an `overflow` in place of what was dropped.
   *
   * @returns {AsyncIterableIterator<AnyEvent>}
   */
  events() {
    /** @type {AnyEvent[]} */
    let kept = [];
    let ended = false;
    let wake = () => {};
    /** @param {AnyEvent | null} event */
    const reader = (event) => {
      if (!event) ended = true;
      else if (kept.push(event) > KEPT) kept = [{ type: "overflow" }];
      wake();
    };
    this.#readers.add(reader);
    /** @type {any} */
    const iterator = {
      [Symbol.asyncIterator]: () => iterator,
      async next() {
        while (!kept.length && !ended) await new Promise((resolve) => (wake = () => resolve(null)));
        const value = kept.shift();
        return { value, done: !value };
      },
      return: () => {
        this.#readers.delete(reader);
        kept = [];
        reader(null);
        return iterator.next();
      },
    };
    return iterator;
  }
}
