/** The routes below `/v2/`. */

/** @import { ErrorCode, Options } from "./types.js" */
import { ChatError, asChatError } from "./errors.js";
import { Tokens } from "./token.js";

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */

/**
 * As `fetch` does. `moved` is to be told of progress.
 *
 * @typedef {(address: string, init: RequestInit & { headers: Record<string, string>, signal: AbortSignal }, moved: () => void) => Promise<Response>} Send
 */

/** @typedef {{ query?: Query, body?: unknown, signal?: AbortSignal, send?: Send }} Of */

export class Rest {
  /**
   * @param {Pick<Options, "url" | "token">} options
   * @param {typeof globalThis.fetch} fetch
   * @param {number} timeout milliseconds
   */
  constructor({ url, token }, fetch, timeout) {
    this.url = url.replace(/\/+$/, "");
    this.tokens = new Tokens(token);
    this.fetch = fetch;
    this.timeout = timeout;
  }

  /**
   * @param {string} path
   * @param {Query} [query]
   */
  address(path, query = {}) {
    const said = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    // Not by URLSearchParams: that of React Native is half of one.
    const text = said.map(([key, value]) => key + "=" + encodeURIComponent(String(value))).join("&");
    return this.url + path + (text && "?" + text);
  }

  /**
   * @param {string} path
   * @param {Query} [query]
   */
  get(path, query) {
    return this.request("GET", path, { query });
  }

  /**
   * Gives the answer, or null where it has none. Fails with a ChatError. A refused token is replaced once.
   *
   * @param {string} method
   * @param {string} path
   * @param {Of} [of]
   * @returns {Promise<any>}
   */
  async request(method, path, of = {}) {
    const token = await this.tokens.get();
    try {
      return await this.#once(token, method, path, of);
    } catch (error) {
      if (asChatError(error).code !== "invalid_token") throw error;
      return this.#once(await this.tokens.get(token), method, path, of);
    }
  }

  /**
   * Fails with `no_answer` where nothing moves for long, and with `cancelled` by the app.
   *
   * @param {string} token
   * @param {string} method
   * @param {string} path
   * @param {Of} of
   */
  async #once(token, method, path, { query, body, signal, send = this.fetch }) {
    const end = new AbortController();
    const abort = () => end.abort();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(abort, this.timeout);
    };
    moved();
    signal?.addEventListener("abort", abort);
    try {
      if (signal?.aborted) throw signal.reason;
      /** @type {Record<string, string>} */
      const headers = { Authorization: `Bearer ${token}` };
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const init = { method, headers, body: JSON.stringify(body), signal: end.signal };
      return await answered(await send(this.address(path, query), init, moved));
    } catch (error) {
      throw signal?.aborted ? new ChatError("cancelled") : asChatError(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * The items of a list, page by page.
   *
   * @param {string} key of the items in a page
   * @param {string} path
   * @param {Query} [query]
   * @returns {AsyncGenerator<any, void, void>}
   */
  async *items(key, path, query) {
    for (let page = null; page?.next !== null; ) {
      page = await this.get(path, page ? { limit: query?.limit, next: page.next } : query);
      yield* page[key];
    }
  }
}

/**
 * What an answer has. Cut in the middle, it fails.
 *
 * @param {Response} answer
 */
async function answered(answer) {
  const { status } = answer;
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  /** @type {{ code?: ErrorCode, detail?: string, reset?: "epoch" | "unknown" }} */
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // Of a proxy.
  }
  const wait = answer.headers.get("Retry-After");
  throw new ChatError(problem.code ?? codeOf(status), problem.detail, {
    status,
    retryAfter: wait && +wait >= 0 ? +wait * 1000 : null,
    reset: problem.reset ?? null,
  });
}

/**
 * Of an answer that no server of ours wrote.
 *
 * @param {number} status
 * @returns {ErrorCode}
 */
const codeOf = (status) =>
  /** @type {Record<number, ErrorCode>} */ ({ 401: "invalid_token", 408: "unavailable", 413: "message_too_large", 429: "rate_limited" })[
    status
  ] ?? (status >= 400 && status < 500 ? "not_found" : "unavailable");
