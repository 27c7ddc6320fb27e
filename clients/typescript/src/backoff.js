/**
 * Waits that grow, with full jitter: each time it gives a random count of milliseconds up to min(max, base · 2^n).
 *
 * @param {number} base milliseconds
 * @param {number} max milliseconds
 * @param {() => number} random
 * @returns {() => number}
 */
export const growing = (base, max, random) => {
  let n = 0;
  return () => random() * Math.min(max, base * 2 ** n++);
};

/** Gives one that begins anew. @typedef {() => () => number} Backoff */
