/** Marks of what was delivered and seen: one per thread under way, and only the last word goes out. */

/** @import { AckFrame, Uuid } from "./types.js" */
/** @import { Calls } from "./calls.js" */
import { asChatError } from "./errors.js";

/** @typedef {{ delivered: number, seen: number }} Marks */

export class Receipts {
  /** What the server is to know. @type {Map<Uuid, Marks>} */
  #wanted = new Map();
  /** @type {Set<Uuid>} */
  #underWay = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #live = false;

  /**
   * @param {Calls} calls
   * @param {number} delay milliseconds
   * @param {{ onMarked(peerId: Uuid, ack: AckFrame): void }} on
   */
  constructor(calls, delay, on) {
    this.calls = calls;
    this.delay = delay;
    this.on = on;
  }

  /**
   * @param {"delivered" | "seen"} kind
   * @param {Uuid} peerId
   * @param {number} upTo
   */
  mark(kind, peerId, upTo) {
    const marks = this.#wanted.get(peerId) ?? { delivered: 0, seen: 0 };
    marks[kind] = Math.max(marks[kind], upTo);
    this.#wanted.set(peerId, marks);
    this.#soon();
  }

  /** @param {boolean} live */
  connected(live) {
    this.#live = live;
    this.#soon();
  }

  /** What is to be told, for who tells it another way. */
  take() {
    const wanted = [...this.#wanted];
    this.#wanted.clear();
    return wanted;
  }

  end() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#live = false;
    this.#wanted.clear();
  }

  #soon() {
    if (this.#live) this.#timer ??= setTimeout(() => this.#flush(), this.delay);
  }

  #flush() {
    this.#timer = undefined;
    if (!this.#live) return;
    for (const [peerId, { delivered, seen }] of this.#wanted) {
      if (this.#underWay.has(peerId)) continue;
      // `seen` implies `delivered`.
      if (seen < delivered) this.#send("delivered", peerId, delivered);
      else this.#send("seen", peerId, seen);
    }
  }

  /**
   * @param {"delivered" | "seen"} kind
   * @param {Uuid} peerId
   * @param {number} upTo
   */
  async #send(kind, peerId, upTo) {
    this.#underWay.add(peerId);
    let again = false;
    try {
      const frame = { action: kind, peer_id: peerId, up_to: upTo };
      await this.calls.call(frame, `${kind} ${peerId}`, (ack) => this.on.onMarked(peerId, ack));
    } catch (error) {
      // Any other: there is no such thread, or message.
      again = asChatError(error).transient;
    }
    this.#underWay.delete(peerId);
    const marks = this.#wanted.get(peerId);
    if (!marks) return;
    if (!again) {
      if (marks[kind] <= upTo) marks[kind] = 0;
      if (kind === "seen" && marks.delivered <= upTo) marks.delivered = 0;
    }
    if (!marks.seen && !marks.delivered) this.#wanted.delete(peerId);
    else this.#soon();
  }
}
