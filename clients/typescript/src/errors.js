/** @import { ErrorCode, Reset, Uuid } from "./types.js" */

/** Codes after which the same again may succeed. The send may be stored. */
const TRANSIENT = ["unavailable", "outcome_unknown", "internal", "rate_limited", "no_answer"];

/**
 * Why something failed. `code` is one of the protocol, or:
 *
 * - `no_answer`: the network failed, or nobody answered in time. It may have taken effect.
 * - `superseded`: a later call of the same kind made it pointless.
 * - `cancelled`: by the app.
 * - `closed`: the client was closed, or stays away.
 */
export class ChatError extends Error {
  /**
   * @param {ErrorCode | "no_answer" | "superseded" | "cancelled" | "closed"} code
   * @param {string} [message]
   * @param {{ status?: number, retryAfter?: number | null, reset?: Reset, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message || code, { cause: more.cause });
    this.name = "ChatError";
    this.code = code;
    /** Of HTTP, or 0. */
    this.status = more.status ?? 0;
    /** Milliseconds to wait, or null. */
    this.retryAfter = more.retryAfter ?? null;
    /** Of `reset`: why the cursor is no good. */
    this.reset = more.reset ?? null;
    /** Of a send. @type {Uuid | null} */
    this.clientRef = null;
  }

  /** Whether the same again may succeed. */
  get transient() {
    return TRANSIENT.includes(this.code) || this.status >= 500;
  }
}

/**
 * @param {unknown} error
 * @returns {ChatError}
 */
export const asChatError = (error) =>
  error instanceof ChatError ? error : new ChatError("no_answer", String(error), { cause: error });
