/** Waits that grow, with full jitter: a random time up to min(max, base · 2^n). */
export class Backoff {
  /**
   * @param {number} base milliseconds
   * @param {number} max milliseconds
   * @param {() => number} random
   */
  constructor(base, max, random) {
    this.base = base;
    this.max = max;
    this.random = random;
    this.n = 0;
  }

  /** Milliseconds. */
  next() {
    return this.random() * Math.min(this.max, this.base * 2 ** this.n++);
  }

  reset() {
    this.n = 0;
  }
}
