/** One user of an outbox at a time, in this process. */
/**
 * @param {unknown} key
 * @param {AbortSignal} signal
 * @returns {Promise<() => void>} what ends it
 */
export declare function queue(key: unknown, signal: AbortSignal): Promise<() => void>;
/**
 * Over all tabs, where the browser has Web Locks: a tab that ends lets go.
 *
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<() => void>}
 */
export declare function lockOf(name: string, signal: AbortSignal): Promise<() => void>;
