/** What a close means (PROTOCOL-2 section 4). */

/** @import { StopReason } from "./types.js" */

/**
 * @typedef {object} After
 * @property {StopReason} [stop] it stays away, and why
 * @property {"backoff" | "drain" | "flood"} wait how long until it comes back
 * @property {boolean} [refused] the token was: another one first
 */

/**
 * @param {number} code
 * @param {boolean} greeted whether there was a `hello`
 * @returns {After}
 */
export function afterClose(code, greeted) {
  // Libraries make these up.
  if (code < 4000 && !greeted) code = 1006;
  switch (code) {
    case 1001:
      return { wait: "drain" };
    case 1002:
    case 1007:
    case 1008:
    case 1009:
      return { wait: "flood" };
    case 4401:
      return { wait: "backoff", refused: true };
    case 4403:
      return { wait: "backoff", stop: "signed_out" };
    case 4409:
      return { wait: "backoff", stop: "replaced" };
  }
  if (code >= 4400 && code < 4500) return { wait: "backoff", stop: "refused" };
  return { wait: "backoff" };
}
