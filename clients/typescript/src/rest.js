/** The routes below `/v2/`. */

/** @import { ErrorCode } from "./types.js" */
/** @import { Tokens } from "./token.js" */
import { ChatError, asChatError } from "./errors.js";

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */

export class Rest {
  /**
   * @param {{ url: string, tokens: Tokens, fetch: typeof globalThis.fetch, timeout: number }} of timeout in milliseconds
   */
  constructor({ url, tokens, fetch, timeout }) {
    this.url = url.replace(/\/+$/, "");
    this.tokens = tokens;
    this.fetch = fetch;
    this.timeout = timeout;
  }

  /**
   * @param {string} path
   * @param {Query} [query]
   */
  address(path, query = {}) {
    const said = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const text = new URLSearchParams(said.map(([key, value]) => [key, String(value)])).toString();
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
    return this.withToken(async (token) => {
      const late = new AbortController();
      const abort = () => late.abort();
      const timer = setTimeout(abort, this.timeout);
      signal?.addEventListener("abort", abort);
      try {
        const headers = /** @type {Record<string, string>} */ ({ Authorization: `Bearer ${token}` });
        if (body !== undefined) headers["Content-Type"] = "application/json";
        const { fetch } = this;
        const answer = await fetch(this.address(path, query), {
          method,
          headers,
          body: body === undefined ? undefined : JSON.stringify(body),
          signal: late.signal,
        });
        // Cut in the middle, this fails.
        return answered(answer.status, await answer.text(), answer.headers.get("Retry-After"));
      } catch (error) {
        throw signal?.aborted ? new ChatError("cancelled") : asChatError(error);
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      }
    });
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
      return work(await this.tokens.replace(token));
    }
  }

  /**
   * The pages of a list, each as the server gives it.
   *
   * @param {string} path
   * @param {Query} [query]
   * @returns {AsyncGenerator<any, void, void>}
   */
  async *pages(path, query = {}) {
    for (let next = null; ; ) {
      const page = await this.get(path, next === null ? query : { limit: query.limit, next });
      yield page;
      next = page.next;
      if (next === null) return;
    }
  }
}

/**
 * @param {number} status
 * @param {string} text
 * @param {string | null} [wait] seconds
 */
export function answered(status, text, wait) {
  if (status >= 200 && status < 300) return text ? JSON.parse(text) : null;
  /** @type {{ code?: ErrorCode, detail?: string, reset?: "epoch" | "unknown" }} */
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // Of a proxy.
  }
  throw new ChatError(problem.code ?? codeOf(status), problem.detail, {
    status,
    retryAfter: wait && Number(wait) >= 0 ? Number(wait) * 1000 : null,
    reset: problem.reset,
  });
}

/**
 * Of an answer that no server of ours wrote.
 *
 * @param {number} status
 * @returns {ErrorCode}
 */
function codeOf(status) {
  if (status === 401) return "invalid_token";
  if (status === 413) return "message_too_large";
  if (status === 429) return "rate_limited";
  return status >= 500 || status < 400 || status === 408 ? "unavailable" : status === 404 ? "not_found" : "not_allowed";
}
