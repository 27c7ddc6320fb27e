/** What a close means (PROTOCOL-2 section 4). */
import type { StopReason } from "./types.js";
export type After = {
    /**
     * it stays away, and why
     */
    stop?: StopReason;
    /**
     * how long until it comes back
     */
    wait: "backoff" | "drain" | "flood";
    /**
     * the token was: another one first
     */
    refused?: boolean;
};
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
export declare function afterClose(code: number, greeted: boolean): After;
