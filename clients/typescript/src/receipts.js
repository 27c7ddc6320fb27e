/** Marks of what was delivered and seen: one of a kind per thread under way, and only the last word goes out. */

/** @import { AckFrame, Uuid } from "./types.js" */
/** @import { Calls } from "./calls.js" */
/** @import { Connection } from "./connection.js" */
import { asChatError } from "./errors.js";

/** @typedef {"delivered" | "seen"} Kind */

export class Receipts {
  /** What the server is to know. @type {Map<Uuid, Record<Kind, number>>} */
  #wanted = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Calls} calls
   * @param {Connection} connection
   * @param {number} delay milliseconds
   * @param {{ onMarked(peerId: Uuid, ack: AckFrame): void }} on
   */
  constructor(calls, connection, delay, on) {
    this.calls = calls;
    this.connection = connection;
    this.delay = delay;
    this.on = on;
  }

  /**
   * @param {Kind} kind
   * @param {Uuid} peerId
   * @param {number} upTo
   */
  mark(kind, peerId, upTo) {
    const marks = this.#wanted.get(peerId) ?? { delivered: 0, seen: 0 };
    marks[kind] = Math.max(marks[kind], upTo);
    this.#wanted.set(peerId, marks);
    this.soon();
  }

  /** Tells them, when it is time and the connection is live. */
  soon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.connection.state === "live") for (const mark of this.take()) this.#send(mark);
    }, this.delay);
  }

  /** What is to be told, for who tells it. `seen` implies `delivered`. */
  take() {
    /** @type {{ peerId: Uuid, kind: Kind, upTo: number }[]} */
    const marks = [];
    for (const [peerId, { delivered, seen }] of this.#wanted) {
      if (seen) marks.push({ peerId, kind: "seen", upTo: seen });
      if (delivered > seen) marks.push({ peerId, kind: "delivered", upTo: delivered });
    }
    this.#wanted.clear();
    return marks;
  }

  end() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wanted.clear();
  }

  /** @param {{ peerId: Uuid, kind: Kind, upTo: number }} mark */
  async #send({ peerId, kind, upTo }) {
    const key = kind + peerId;
    // One at a time: it waits for the answer of the last.
    if (this.calls.has(key)) return this.mark(kind, peerId, upTo);
    try {
      const frame = { action: kind, peer_id: peerId, up_to: upTo };
      await this.calls.call(frame, key, (ack) => this.on.onMarked(peerId, ack));
    } catch (error) {
      // Any other: there is no such thread, or message.
      if (asChatError(error).transient) this.mark(kind, peerId, upTo);
    }
  }
}
