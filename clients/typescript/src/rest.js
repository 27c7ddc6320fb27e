/** The routes below `/v2/`. */

/** @import { ErrorCode, Options } from "./types.js" */
import { ChatError, asChatError } from "./errors.js";
import { Tokens } from "./token.js";

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */

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
    const text = said.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`).join("&");
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
   * @param {{ query?: Query, body?: unknown, signal?: AbortSignal }} [of]
   * @returns {Promise<any>}
   */
  request(method, path, { query, body, signal } = {}) {
    return this.withToken((token) =>
      abortable(this.timeout, signal, async (signal) => {
        const headers = /** @type {Record<string, string>} */ ({ Authorization: `Bearer ${token}` });
        const init = /** @type {RequestInit} */ ({ method, headers, signal });
        if (body !== undefined) {
          headers["Content-Type"] = "application/json";
          init.body = JSON.stringify(body);
        }
        const { fetch } = this;
        return answered(await fetch(this.address(path, query), init));
      }),
    );
  }

  /**
   * @template T
   * @param {(token: string) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async withToken(work) {
    const token = await this.tokens.get();
    try {
      return await work(token);
    } catch (error) {
      if (!(error instanceof ChatError && error.code === "invalid_token")) throw error;
      return work(await this.tokens.get(token));
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
 * Fails with `no_answer` where `work` takes longer than `idle` without having moved, and with `cancelled` by the app.
 *
 * @template T
 * @param {number} idle milliseconds
 * @param {AbortSignal | undefined} signal
 * @param {(signal: AbortSignal, moved: () => void) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function abortable(idle, signal, work) {
  const late = new AbortController();
  const abort = () => late.abort();
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const moved = () => {
    clearTimeout(timer);
    timer = setTimeout(abort, idle);
  };
  moved();
  signal?.addEventListener("abort", abort);
  try {
    if (signal?.aborted) abort();
    return await work(late.signal, moved);
  } catch (error) {
    throw signal?.aborted ? new ChatError("cancelled") : asChatError(error);
  } finally {
    // @ts-ignore: it is set
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/**
 * What an answer has. Cut in the middle, it fails.
 *
 * @param {Pick<Response, "status" | "text"> & { headers: Pick<Headers, "get"> }} answer
 */
export async function answered(answer) {
  const { status } = answer;
  const text = await answer.text();
  if (status >= 200 && status < 300) return text ? JSON.parse(text) : null;
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
    reset: problem.reset,
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
