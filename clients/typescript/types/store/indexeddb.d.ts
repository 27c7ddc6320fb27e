import type { Store } from "../types.js";
/** @import { Store } from "../types.js" */
/** @import { Table, TableName } from "./tables.js" */
import { TableStore } from "./tables.js";
/**
 * Keeps everything in the browser, for one user: put the user's id into the name. Tabs share it, and one at a time sends.
 *
 * @implements {Store}
 */
export declare class IndexedDbStore extends TableStore implements Store {
    #private;
    /**
     * @param {string} name
     * @param {IDBFactory} [factory]
     */
    constructor(name: string, factory?: IDBFactory);
    /**
     * Over all tabs, by Web Locks: a tab that ends lets go. Where there are none, tabs may send at a time, and the order of what
     * they send may suffer.
     *
     * @param {AbortSignal} signal
     * @returns {Promise<() => void>}
     */
    lock(signal: AbortSignal): Promise<() => void>;
    /** @param {() => void} changed */
    watch(changed: () => void): () => void | undefined;
    close(): void;
}
