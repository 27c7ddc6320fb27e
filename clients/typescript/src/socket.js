/** One WebSocket: its first frame is `hello`, and it is found out when nobody is there any more. */

/** @import { ClientFrame, Options, ServerFrame, SocketLike, Timing } from "./types.js" */

/**
 * @typedef {object} SocketEvents
 * @property {(frame: ServerFrame, socket: Socket) => void} frame
 * @property {(code: number, socket: Socket) => void} closed not called where this side closed it
 * @property {(error: unknown) => void} failed it could not be opened
 */

export class Socket {
  greeted = false;
  #open = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {SocketLike | null} */
  #socket = null;
  #timing;
  #on;

  /**
   * @param {NonNullable<Options["WebSocket"]>} WebSocket
   * @param {Promise<{ url: string, protocols?: string[] }>} target
   * @param {Timing} timing
   * @param {SocketEvents} on
   */
  constructor(WebSocket, target, timing, on) {
    this.#timing = timing;
    this.#on = on;
    this.#connect(WebSocket, target);
  }

  /**
   * @param {NonNullable<Options["WebSocket"]>} WebSocket
   * @param {Promise<{ url: string, protocols?: string[] }>} target
   */
  async #connect(WebSocket, target) {
    try {
      const { url, protocols } = await target;
      if (!this.#open) return;
      // Without `hello` in time it is a server of the first generation, or none.
      this.#timer = setTimeout(() => this.drop(), this.#timing.hello);
      const socket = (this.#socket = new WebSocket(url, protocols));
      socket.onmessage = (event) => this.#received(event.data);
      socket.onclose = (event) => this.drop(event?.code || 1006);
      // The close comes, too.
      socket.onerror = () => {};
    } catch (error) {
      if (!this.#open) return;
      this.close();
      this.#on.failed(error);
    }
  }

  /**
   * Gives it to a socket that has greeted. That says nothing about its arrival.
   *
   * @param {ClientFrame} frame
   */
  send(frame) {
    try {
      this.#socket?.send(JSON.stringify(frame));
    } catch {
      // Its close comes, or no pong does.
    }
  }

  /** Is it still there? It is dropped where no frame comes in time. */
  probe() {
    this.send({ action: "ping" });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.drop(), this.#timing.pong);
  }

  /** Closes it. Nobody is told. */
  close() {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    try {
      this.#socket?.close(1000);
    } catch {
      // It was not open yet, in some libraries.
    }
  }

  /** Gives it up, without waiting for its close. @param {number} [code] of a close that came */
  drop(code = 1006) {
    if (!this.#open) return;
    this.close();
    this.#on.closed(code, this);
  }

  /** @param {any} data */
  #received(data) {
    if (!this.#open) return;
    /** @type {ServerFrame} */
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.drop();
    }
    if (!this.greeted && frame.action !== "hello") return this.drop();
    this.greeted = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.probe(), this.#timing.silence);
    this.#on.frame(frame, this);
  }
}
