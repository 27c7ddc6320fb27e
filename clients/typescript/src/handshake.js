/** Where to connect, and as whom: by a ticket, or by a token that is replaced where it was refused. */

/** @import { Options } from "./types.js" */
/** @import { Calls } from "./calls.js" */
/** @import { Query, Rest } from "./rest.js" */
import { asChatError } from "./errors.js";

export class Handshake {
  /** The server gave a ticket once. */
  #gives = false;
  /** The token of the last handshake, if it had one. @type {string | null} */
  #used = null;
  /** One that was refused. @type {string | null} */
  #refused = null;

  /**
   * @param {Options} options
   * @param {Rest} rest
   */
  constructor(options, rest) {
    this.options = options;
    this.rest = rest;
  }

  /** The server did not take it. */
  refused() {
    this.#refused = this.#used;
  }

  /** Fails with `invalid_token` where there is no other token. @param {string | null} after */
  async target(after) {
    const { rest } = this;
    const { tickets = true, subprotocol = true } = this.options;
    /** @type {Query} */
    const query = { after };
    if (tickets) {
      try {
        query.ticket = (await rest.request("POST", "/v2/ticket", { body: {} })).ticket;
        this.#gives = true;
        this.#used = null;
      } catch (error) {
        const { status, code } = asChatError(error);
        // An older server does not know the route. To a page of another origin that looks as no answer.
        if (this.#gives || (status !== 404 && status !== 405 && code !== "no_answer")) throw error;
      }
    }
    if (!query.ticket) this.#used = query.token = await rest.tokens.get(this.#refused);
    if (!subprotocol) query.protocol = 2;
    const url = rest.address("/ws/chat/room/", query).replace(/^http/, "ws");
    return { url, protocols: subprotocol ? ["netrox.chat.v2"] : undefined };
  }

  /**
   * Puts another token under an open socket, before its own ends.
   *
   * @param {Calls} calls
   */
  async renew(calls) {
    const { tokens } = this.rest;
    const token = await tokens.get(await tokens.get());
    await calls.call({ action: "token_refresh", token }, "token");
    this.#used &&= token;
  }
}
