/** What a close means (PROTOCOL-2 section 4). */

/** @import { StopReason } from "./types.js" */

/** @type {Record<number, StopReason>} */
const STOPS = { 4403: "signed_out", 4409: "replaced" };
const FLOODS = [1002, 1007, 1008, 1009];

/**
 * `stop`: it stays away, and why. Else it comes back, after a `wait`; where the token was `refused`, with another.
 *
 * @param {number} code
 * @param {boolean} greeted whether there was a `hello`
 * @returns {{ stop?: StopReason, wait: "backoff" | "drain" | "flood", refused: boolean }}
 */
export function afterClose(code, greeted) {
  // Libraries make these up.
  if (code < 4000 && !greeted) code = 1006;
  const refused = code === 4401;
  const stop = STOPS[code] ?? (code >= 4400 && code < 4500 && !refused ? "refused" : undefined);
  const wait = FLOODS.includes(code) ? "flood" : code === 1001 ? "drain" : "backoff";
  return { stop, wait, refused };
}
