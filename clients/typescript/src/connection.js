/** One connection that comes back: with backoff, by what a close says, and over to another server before a drain. */

/** @import { ClientFrame, Options, ServerFrame, State, StopReason, Timing } from "./types.js" */
/** @import { Backoff } from "./backoff.js" */
/** @import { Handshake } from "./handshake.js" */
import { afterClose } from "./closes.js";
import { asChatError } from "./errors.js";
import { Socket } from "./socket.js";

/**
 * @typedef {object} ConnectionEvents
 * @property {() => Promise<{ url: string, protocols?: string[] }>} onPrepare gives where to connect
 * @property {() => void} onConnected frames go to another socket from now on
 * @property {(frame: ServerFrame) => void} onFrame
 * @property {(flood: number) => void} onLost no socket serves; and the code of the close where a frame was the reason
 * @property {Handshake} handshake
 * @property {(state: State, reason: StopReason | null) => void} onState
 */

/** Reasons for which it does not come back by itself, but when the user does. @type {(StopReason | null)[]} */
const RESTARTS = ["token", "replaced", "refused"];

export class Connection {
  /** @type {State} */
  state = "stopped";
  /** @type {StopReason | null} */
  reason = "closed";
  /** The one that serves. @type {Socket | null} */
  #socket = null;
  /** The one that is to. @type {Socket | null} */
  #next = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #calm;
  #wait;

  /**
   * @param {NonNullable<Options["WebSocket"]>} WebSocket
   * @param {Timing} timing
   * @param {() => number} random
   * @param {Backoff} backoff
   * @param {ConnectionEvents} on
   */
  constructor(WebSocket, timing, random, backoff, on) {
    this.WebSocket = WebSocket;
    this.timing = timing;
    this.random = random;
    this.on = on;
    this.backoff = backoff;
    this.#wait = backoff();
  }

  start() {
    if (this.state === "stopped") this.#attempt();
  }

  /** @param {StopReason} reason */
  stop(reason) {
    this.#end();
    this.#become("stopped", reason);
  }

  /** Connects anew, at once. */
  restart() {
    if (this.state === "stopped") return;
    this.#end();
    this.#attempt();
  }

  get serves() {
    return this.#socket !== null;
  }

  /** @param {ClientFrame} frame */
  send(frame) {
    this.#socket?.send(frame);
  }

  /** Gives up the socket that serves, and comes back with backoff. */
  drop() {
    this.#socket?.drop();
  }

  /** The user is back, or the network is another: no wait is left, and is what is there still good? */
  wake() {
    if (this.#socket) this.#socket.probe();
    else if (this.state === "away" || RESTARTS.includes(this.reason)) this.#attempt();
  }

  #end() {
    this.#unwait();
    clearTimeout(this.#calm);
    const served = this.#socket;
    for (const socket of [served, this.#next]) socket?.close();
    this.#socket = this.#next = null;
    if (served) this.on.onLost(0);
  }

  #attempt() {
    if (this.#next) return;
    this.#unwait();
    this.#next = new Socket(this.WebSocket, this.on.onPrepare(), this.timing, {
      frame: (frame, socket) => this.#received(frame, socket),
      closed: (code, socket) => this.#closed(code, socket),
      failed: (error) => this.#failed(error),
    });
    if (!this.#socket) this.#become("connecting");
  }

  /** @param {unknown} error */
  #failed(error) {
    const { code, retryAfter } = asChatError(error);
    this.#next = null;
    if (code === "user_deleted") this.stop("signed_out");
    else if (code === "invalid_token" && !this.#socket) this.stop("token");
    else this.#again(Math.max(retryAfter ?? 0, this.#wait()));
  }

  /**
   * @param {ServerFrame} frame
   * @param {Socket} socket
   */
  #received(frame, socket) {
    const { action } = frame;
    if (action === "live") {
      if (socket === this.#next) {
        this.#socket?.close();
        this.#serve(socket, "live");
      }
      clearTimeout(this.#calm);
      this.#calm = setTimeout(() => (this.#wait = this.backoff()), this.timing.backoffReset);
      this.#become("live");
    } else if (action === "reconnect" && socket === this.#socket) this.#after(frame.after_ms);
    this.on.onFrame(frame);
    // In a handover the old one serves until this one is live.
    if (action === "hello" && !this.#socket && socket === this.#next) this.#serve(socket);
  }

  /** @param {Socket} socket @param {State} [state] */
  #serve(socket, state = "catching_up") {
    this.#socket = socket;
    this.#next = null;
    this.#become(state);
    this.on.onConnected();
  }

  /**
   * @param {number} code
   * @param {Socket} socket
   */
  #closed(code, socket) {
    const after = afterClose(code, socket.greeted);
    if (after.refused) this.on.handshake.refused();
    if (socket === this.#next) this.#next = null;
    else {
      this.#socket = null;
      clearTimeout(this.#calm);
      this.on.onLost(after.wait === "flood" ? code : 0);
      // A handover goes on without it.
      const next = this.#next;
      if (next?.greeted) return this.#serve(next);
      if (next) return this.#become("connecting");
      if (code === 1001 && this.#timer) return this.#become("away");
    }
    if (after.stop) return this.stop(after.stop);
    const { drain, flood } = this.timing;
    const random = this.random();
    this.#again(
      after.wait === "drain" ? random * drain : after.wait === "flood" ? flood * (1 + random) : this.#wait(),
    );
  }

  /** @param {number} wait milliseconds */
  #again(wait) {
    if (!this.#socket) this.#become("away");
    this.#after(wait);
  }

  /** @param {number} wait milliseconds */
  #after(wait) {
    this.#unwait();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#attempt();
    }, wait);
  }

  #unwait() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /**
   * @param {State} state
   * @param {StopReason | null} [reason]
   */
  #become(state, reason = null) {
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    this.on.onState(state, reason);
  }
}
