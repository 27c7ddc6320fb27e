/** @import { Options } from "./types.js" */
import { ChatError } from "./errors.js";

/** The token of the app, asked for once at a time. */
export class Tokens {
  /** @type {string | null} */
  #token = null;
  /** @type {Promise<string> | null} */
  #asked = null;
  #source;

  /** @param {Options["token"]} source */
  constructor(source) {
    this.#source = source;
  }

  /**
   * The one that is held, or another in place of `refused`. Without one it fails with `invalid_token`.
   *
   * @param {string | null} [refused]
   */
  async get(refused = null) {
    if (this.#token && this.#token !== refused) return this.#token;
    return (this.#asked ??= this.#ask(refused).finally(() => (this.#asked = null)));
  }

  forget() {
    this.#token = null;
  }

  /** @param {string | null} refused */
  async #ask(refused) {
    const token = await this.#source({ refresh: refused !== null });
    if (!token || token === refused) throw new ChatError("invalid_token");
    return (this.#token = token);
  }
}
