/** @import { Timing } from "./types.js" */

/** @type {Timing} */
export const TIMING = {
  hello: 10_000,
  silence: 30_000,
  pong: 15_000,
  backoffBase: 500,
  backoffMax: 60_000,
  backoffReset: 30_000,
  flood: 30_000,
  drain: 5000,
  request: 30_000,
  store: 50,
  receipts: 200,
  typingRepeat: 4000,
  typingIdle: 5000,
  typingEnd: 6000,
};
