/**
 * Waits that grow, with full jitter: each time it gives a random count of milliseconds up to min(max, base · 2^n).
 *
 * @param {number} base milliseconds
 * @param {number} max milliseconds
 * @param {() => number} random
 * @returns {() => number}
 */
export declare const growing: (base: number, max: number, random: () => number) => () => number;
export type Backoff = () => () => number;
/** Gives one that begins anew. @typedef {() => () => number} Backoff */
