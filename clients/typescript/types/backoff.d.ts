/** Waits that grow, with full jitter: a random time up to min(max, base · 2^n). */
export declare class Backoff {
    base: number;
    max: number;
    random: () => number;
    n: number;
    /**
     * @param {number} base milliseconds
     * @param {number} max milliseconds
     * @param {() => number} random
     */
    constructor(base: number, max: number, random: () => number);
    /** Milliseconds. */
    next(): number;
    reset(): void;
}
