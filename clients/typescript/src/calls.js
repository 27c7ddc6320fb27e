/** Frames that are answered by their `ref`. Every verb may be repeated: what was not answered goes out again after a break. */

/** @import { AckFrame, ClientFrame, ErrorFrame } from "./types.js" */
/** @import { Backoff } from "./backoff.js" */
/** @import { Socket } from "./socket.js" */
import { ChatError, errorOf } from "./errors.js";

/** @typedef {{ frame: ClientFrame, key: string, resolve(ack: AckFrame): void, reject(error: ChatError): void, backoff: Backoff }} Call */

export class Calls {
  /** In the order of the calls. @type {Map<string, Call>} */
  #calls = new Map();
  #last = 0;
  /** @type {Socket | null} */
  #socket = null;

  /**
   * @param {number} timeout milliseconds
   * @param {() => Backoff} backoff
   */
  constructor(timeout, backoff) {
    this.timeout = timeout;
    this.backoff = backoff;
  }

  /**
   * @param {ClientFrame} frame
   * @param {string} key calls of one key replace each other: an older one is not repeated after a newer
   * @param {(ack: AckFrame) => void} [taken] called before the frame behind the ack is looked at
   * @returns {Promise<AckFrame>}
   */
  call(frame, key, taken) {
    return new Promise((resolve, reject) => {
      const ref = String(++this.#last);
      for (const [ref, call] of this.#calls) if (call.key === key) this.#refuse(ref, new ChatError("superseded"));
      const timer = setTimeout(() => this.#refuse(ref, new ChatError("no_answer", "nobody answered in time")), this.timeout);
      this.#calls.set(ref, {
        frame: { ...frame, ref },
        key,
        backoff: this.backoff(),
        resolve: (ack) => {
          clearTimeout(timer);
          taken?.(ack);
          resolve(ack);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#send(ref);
    });
  }

  /** @param {Socket} socket */
  connected(socket) {
    this.#socket = socket;
    for (const ref of this.#calls.keys()) this.#send(ref);
  }

  /** @param {string | null} culprit the `ref` of a frame that must not be repeated */
  lost(culprit) {
    this.#socket = null;
    if (culprit) this.#refuse(culprit, new ChatError("invalid_field", "the server closed the connection for it"));
  }

  /**
   * @param {AckFrame | ErrorFrame} frame
   */
  answered(frame) {
    const ref = frame.ref ?? "";
    const call = this.#calls.get(ref);
    if (!call) return;
    if (frame.action === "ack") {
      this.#calls.delete(ref);
      return call.resolve(frame);
    }
    const error = errorOf(frame);
    if (!error.transient) return this.#refuse(ref, error);
    setTimeout(() => this.#send(ref), error.retryAfter ?? call.backoff.next());
  }

  /** @param {ChatError} error */
  end(error) {
    for (const ref of this.#calls.keys()) this.#refuse(ref, error);
  }

  /** @param {string} ref */
  #send(ref) {
    const call = this.#calls.get(ref);
    if (call) this.#socket?.send(call.frame);
  }

  /**
   * @param {string} ref
   * @param {ChatError} error
   */
  #refuse(ref, error) {
    const call = this.#calls.get(ref);
    this.#calls.delete(ref);
    call?.reject(error);
  }
}
