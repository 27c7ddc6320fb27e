/** @import { ErrorCode, ErrorFrame, Reset, Uuid } from "./types.js" */
import type { ErrorCode, ErrorFrame, Reset, Uuid } from "./types.js";
/**
 * Why something failed. `code` is one of the protocol, or:
 *
 * - `no_answer`: the network failed, or nobody answered in time. It may have taken effect.
 * - `superseded`: a later call of the same kind made it pointless.
 * - `cancelled`: by the app.
 * - `closed`: the client was closed, or stays away.
 */
export declare class ChatError extends Error {
    code: "cancelled" | "closed" | "no_answer" | "superseded" | ErrorCode;
    /** Of HTTP, or 0. */
    status: number;
    /** Milliseconds to wait, or null. */
    retryAfter: number | null;
    /** Of `reset`: why the cursor is no good. */
    reset: Reset | null;
    /** Of a send. @type {Uuid | null} */
    clientRef: Uuid | null;
    /**
     * @param {ErrorCode | "no_answer" | "superseded" | "cancelled" | "closed"} code
     * @param {string} [message]
     * @param {{ status?: number, retryAfter?: number | null, reset?: Reset, cause?: unknown }} [more]
     */
    constructor(code: ErrorCode | "no_answer" | "superseded" | "cancelled" | "closed", message?: string, more?: {
        status?: number;
        retryAfter?: number | null;
        reset?: Reset;
        cause?: unknown;
    });
    /** Whether the same again may succeed. */
    get transient(): boolean;
}
/** @param {ErrorFrame} frame */
export declare const errorOf: (frame: ErrorFrame) => ChatError;
/**
 * @param {unknown} error
 * @returns {ChatError}
 */
export declare const asChatError: (error: unknown) => ChatError;
