/** Frames that are answered by their `ref`. Every verb may be repeated: what was not answered goes out again after a break. */

/** @import { AckFrame, ClientFrame, ErrorFrame } from "./types.js" */
/** @import { Backoff } from "./backoff.js" */
/** @import { Connection } from "./connection.js" */
import { ChatError } from "./errors.js";

/** @typedef {{ frame: ClientFrame, end(ack: AckFrame | null, error?: ChatError): void, wait: () => number, waits?: boolean }} Call */

export class Calls {
  /** In the order of the calls, by their keys. @type {Map<string, Call>} */
  #calls = new Map();
  #last = 0;

  /**
   * @param {number} timeout milliseconds
   * @param {Backoff} backoff
   * @param {Connection} connection
   */
  constructor(timeout, backoff, connection) {
    this.timeout = timeout;
    this.backoff = backoff;
    this.connection = connection;
  }

  /**
   * @param {ClientFrame} frame
   * @param {string} key calls of one key replace each other: an older one is not repeated after a newer
   * @param {(ack: AckFrame) => void} [taken] called before the frame behind the ack is looked at
   * @param {number} [timeout] milliseconds; 0 is none
   * @returns {Promise<AckFrame>}
   */
  call(frame, key, taken, timeout = this.timeout) {
    this.#end(key, null, new ChatError("superseded"));
    return new Promise((resolve, reject) => {
      const timer = timeout && setTimeout(() => this.#end(key, null, new ChatError("no_answer")), timeout);
      this.#calls.set(key, {
        frame: { ...frame, ref: String(++this.#last) },
        wait: this.backoff(),
        end(ack, error) {
          clearTimeout(timer);
          if (!ack) return reject(error);
          taken?.(ack);
          resolve(ack);
        },
      });
      this.#send(key);
    });
  }

  /** Repeats it no more. It has no end then, but for what comes. @param {string} key */
  forget(key) {
    this.#calls.delete(key);
  }

  /** Whether it is not answered yet. @param {string} key */
  has(key) {
    return this.#calls.has(key);
  }

  /** Whether it was refused for now, and waits to be repeated. @param {string} key */
  waits(key) {
    return this.#calls.get(key)?.waits;
  }

  connected() {
    for (const key of this.#calls.keys()) this.#send(key);
  }

  /**
   * One frame is not repeated where the server closed for it: the largest after 1009, and otherwise the last.
   *
   * @param {number} flood the code of such a close, or 0
   */
  lost(flood) {
    const calls = [...this.#calls];
    /** @param {typeof calls[0]} call */
    const size = ([, { frame }]) => JSON.stringify(frame).length;
    if (flood === 1009) calls.sort((a, b) => size(a) - size(b));
    const culprit = flood && calls.pop();
    if (culprit) this.#end(culprit[0], null, new ChatError("message_too_large"));
  }

  /** @param {AckFrame | ErrorFrame} frame */
  answered(frame) {
    for (const [key, call] of this.#calls) {
      if (call.frame.ref !== frame.ref) continue;
      if (frame.action === "ack") return this.#end(key, frame);
      const error = new ChatError(frame.code, frame.message, { retryAfter: frame.retry_after_ms });
      if (!error.transient) return this.#end(key, null, error);
      call.waits = true;
      setTimeout(() => this.#calls.get(key) === call && this.#send(key), error.retryAfter ?? call.wait());
    }
  }

  /** @param {ChatError} error */
  end(error) {
    for (const key of this.#calls.keys()) this.#end(key, null, error);
  }

  /** @param {string} key */
  #send(key) {
    const call = this.#calls.get(key);
    if (!call) return;
    call.waits = false;
    this.connection.send(call.frame);
  }

  /**
   * @param {string} key
   * @param {AckFrame | null} ack
   * @param {ChatError} [error]
   */
  #end(key, ack, error) {
    const call = this.#calls.get(key);
    this.#calls.delete(key);
    call?.end(ack, error);
  }
}
