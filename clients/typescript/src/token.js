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

  /** The one that is held, or a first one. */
  get() {
    return this.#token ? Promise.resolve(this.#token) : this.#ask(false);
  }

  /**
   * Another one in place of `refused`. Without one it fails with `invalid_token`.
   *
   * @param {string} refused
   */
  replace(refused) {
    return this.#token && this.#token !== refused ? Promise.resolve(this.#token) : this.#ask(true, refused);
  }

  forget() {
    this.#token = null;
  }

  /**
   * @param {boolean} refresh
   * @param {string} [refused]
   * @returns {Promise<string>}
   */
  #ask(refresh, refused) {
    const asked = async () => {
      const token = await this.#source({ refresh });
      if (!token || token === refused) throw new ChatError("invalid_token", "there is no new token", { status: 401 });
      return (this.#token = token);
    };
    return (this.#asked ??= asked().finally(() => (this.#asked = null)));
  }
}
