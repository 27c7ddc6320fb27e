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
  name = "ChatError";
  /** Of HTTP, or 0. */
  status = 0;
  /** Milliseconds to wait, or null. @type {number | null} */
  retryAfter = null;
  /** Of `reset`: why the cursor is no good. @type {Reset | null} */
  reset = null;
  /** Of a send. @type {Uuid | null} */
  clientRef = null;

  /**
   * @param {ErrorCode | "no_answer" | "superseded" | "cancelled" | "closed"} code
   * @param {string} [message]
   * @param {{ status?: number, retryAfter?: number | null, reset?: Reset | null, cause?: unknown }} [more]
   */
  constructor(code, message, more) {
    super(message || code, more);
    this.code = code;
    Object.assign(this, more);
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
