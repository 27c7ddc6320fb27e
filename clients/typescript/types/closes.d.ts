/** What a close means (PROTOCOL-2 section 4). */
import type { StopReason } from "./types.js";
/**
 * `stop`: it stays away, and why. Else it comes back, after a `wait`; where the token was `refused`, with another.
 *
 * @param {number} code
 * @param {boolean} greeted whether there was a `hello`
 * @returns {{ stop?: StopReason, wait: "backoff" | "drain" | "flood", refused: boolean }}
 */
export declare function afterClose(code: number, greeted: boolean): {
    stop?: StopReason;
    wait: "backoff" | "drain" | "flood";
    refused: boolean;
};
