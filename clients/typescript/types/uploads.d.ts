/** One attempt at an upload: multipart, with progress. One that was begun before is asked for first. */
import type { Entry, Message } from "./types.js";
import type { Rest } from "./rest.js";
export type Transport = {
    rest: Rest;
    /**
     * null: by `fetch`
     */
    XMLHttpRequest: (new () => XMLHttpRequest) | null;
    /**
     * milliseconds without any progress until it is given up
     */
    idle: number;
};
/**
 * @typedef {object} Transport
 * @property {Rest} rest
 * @property {(new () => XMLHttpRequest) | null} XMLHttpRequest null: by `fetch`
 * @property {number} idle milliseconds without any progress until it is given up
 */
/**
 * Fails with a ChatError. What is cut off leaves nothing, but the answer may be lost.
 *
 * @param {Transport} transport
 * @param {Entry} entry
 * @param {AbortSignal} signal
 * @param {(sent: number, total: number) => void} progress bytes
 * @returns {Promise<Message>}
 */
export declare function upload({ rest, XMLHttpRequest, idle }: Transport, entry: Entry, signal: AbortSignal, progress: (sent: number, total: number) => void): Promise<Message>;
export type Send = (address: string, token: string, form: FormData, signal: AbortSignal, told: (sent: number) => void) => Promise<Message>;
