/** The routes below `/v2/`. */
import type { Tokens } from "./token.js";
export type Query = Record<string, string | number | boolean | null | undefined>;
/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */
export declare class Rest {
    url: string;
    tokens: Tokens;
    fetch: typeof fetch;
    timeout: number;
    /**
     * @param {{ url: string, tokens: Tokens, fetch: typeof globalThis.fetch, timeout: number }} of timeout in milliseconds
     */
    constructor({ url, tokens, fetch, timeout }: {
        url: string;
        tokens: Tokens;
        fetch: typeof globalThis.fetch;
        timeout: number;
    });
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
     * The pages of a list, each as the server gives it.
     *
     * @param {string} path
     * @param {Query} [query]
     * @returns {AsyncGenerator<any, void, void>}
     */
    pages(path: string, query?: Query): AsyncGenerator<any, void, void>;
}
/**
 * @param {number} status
 * @param {string} text
 * @param {string | null} [wait] seconds
 */
export declare function answered(status: number, text: string, wait?: string | null): any;
