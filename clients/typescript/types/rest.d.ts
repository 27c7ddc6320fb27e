/** The routes below `/v2/`. */
import type { Options } from "./types.js";
import { Tokens } from "./token.js";
export type Query = Record<string, string | number | boolean | null | undefined>;
/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */
export declare class Rest {
    url: string;
    tokens: Tokens;
    fetch: typeof fetch;
    timeout: number;
    /**
     * @param {Pick<Options, "url" | "token">} options
     * @param {typeof globalThis.fetch} fetch
     * @param {number} timeout milliseconds
     */
    constructor({ url, token }: Pick<Options, "url" | "token">, fetch: typeof globalThis.fetch, timeout: number);
    /**
     * @param {string} path
     * @param {Query} [query]
     */
    address(path: string, query?: Query): string;
    /**
     * @param {string} path
     * @param {Query} [query]
     */
    get(path: string, query?: Query): Promise<any>;
    /**
     * Gives the answer, or null where it has none. Fails with a ChatError. A refused token is replaced once.
     *
     * @param {string} method
     * @param {string} path
     * @param {{ query?: Query, body?: unknown, signal?: AbortSignal }} [of]
     * @returns {Promise<any>}
     */
    request(method: string, path: string, { query, body, signal }?: {
        query?: Query;
        body?: unknown;
        signal?: AbortSignal;
    }): Promise<any>;
    /**
     * @template T
     * @param {(token: string) => Promise<T>} work
     * @returns {Promise<T>}
     */
    withToken<T>(work: (token: string) => Promise<T>): Promise<T>;
    /**
     * The items of a list, page by page.
     *
     * @param {string} key of the items in a page
     * @param {string} path
     * @param {Query} [query]
     * @returns {AsyncGenerator<any, void, void>}
     */
    items(key: string, path: string, query?: Query): AsyncGenerator<any, void, void>;
}
/**
 * Fails with `no_answer` where `work` takes longer than `idle` without having moved, and with `cancelled` by the app.
 *
 * @template T
 * @param {number} idle milliseconds
 * @param {AbortSignal | undefined} signal
 * @param {(signal: AbortSignal, moved: () => void) => Promise<T>} work
 * @returns {Promise<T>}
 */
export declare function abortable<T>(idle: number, signal: AbortSignal | undefined, work: (signal: AbortSignal, moved: () => void) => Promise<T>): Promise<T>;
/**
 * What an answer has. Cut in the middle, it fails.
 *
 * @param {Pick<Response, "status" | "text"> & { headers: Pick<Headers, "get"> }} answer
 */
export declare function answered(answer: Pick<Response, "status" | "text"> & {
    headers: Pick<Headers, "get">;
}): Promise<any>;
