/** Who is typing. The user's own is repeated while it goes on; a peer's ends by itself. */

/** @import { ClientFrame, Timing, Uuid } from "./types.js" */
/** @import { Emitter } from "./emitter.js" */

/** @typedef {ReturnType<typeof setTimeout>} Timer */

export class Typing {
  /** @type {Map<Uuid, { told: number, idle: Timer }>} */
  #own = new Map();
  /** @type {Map<Uuid, Timer>} */
  #peers = new Map();

  /**
   * @param {Timing} timing
   * @param {{ send(frame: ClientFrame): unknown }} connection
   * @param {Emitter} emitter
   */
  constructor(timing, connection, emitter) {
    this.timing = timing;
    this.connection = connection;
    this.emitter = emitter;
  }

  /**
   * Call it at each key: it says no more than has to be said.
   *
   * @param {Uuid} peerId
   * @param {boolean} typing
   */
  set(peerId, typing) {
    const own = this.#own.get(peerId);
    clearTimeout(own?.idle);
    const now = Date.now();
    let told = own?.told ?? 0;
    if (typing ? now - told >= this.timing.typingRepeat : this.#own.delete(peerId)) {
      this.connection.send({ action: "typing", peer_id: peerId, typing });
      told = now;
    }
    if (!typing) return;
    const idle = setTimeout(() => this.set(peerId, false), this.timing.typingIdle);
    this.#own.set(peerId, { told, idle });
  }

  /** A message ends it at the peer's. @param {Uuid} peerId */
  sent(peerId) {
    clearTimeout(this.#own.get(peerId)?.idle);
    this.#own.delete(peerId);
  }

  /**
   * @param {Uuid} peerId
   * @param {boolean} typing
   */
  told(peerId, typing) {
    clearTimeout(this.#peers.get(peerId));
    const had = this.#peers.delete(peerId);
    if (typing) this.#peers.set(peerId, setTimeout(() => this.told(peerId, false), this.timing.typingEnd));
    if (had !== typing) this.emitter.emit("typing", { peer_id: peerId, typing });
  }

  end() {
    for (const peerId of this.#own.keys()) this.sent(peerId);
    for (const timer of this.#peers.values()) clearTimeout(timer);
    this.#peers.clear();
  }
}
