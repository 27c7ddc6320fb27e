import type { Store } from "../types.js";
/** @import { Store } from "../types.js" */
/** @import { Table, TableName } from "./tables.js" */
import { TableStore } from "./tables.js";
/** Keeps everything until the page or the process ends. Several clients may share one. @implements {Store} */
export declare class MemoryStore extends TableStore implements Store {
    #private;
    constructor();
    /**
     * @param {AbortSignal} signal
     * @returns {Promise<() => void>}
     */
    lock(signal: AbortSignal): Promise<() => void>;
    /** @param {() => void} changed */
    watch(changed: () => void): () => undefined;
}
