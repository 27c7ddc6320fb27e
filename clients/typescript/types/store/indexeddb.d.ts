import type { Batch, Entry, Store, Stored, Uuid } from "../types.js";
/**
 * Keeps everything in the browser, for one user: put the user's id into the name. Tabs share it, and one at a time sends.
 *
 * @implements {Store}
 */
export declare class IndexedDbStore implements Store {
    #private;
    /**
     * @param {string} name
     * @param {IDBFactory} [factory]
     */
    constructor(name: string, factory?: IDBFactory);
    /**
     * What is held, of each thread the newest `keep` messages; the others are removed.
     *
     * @param {number} keep
     * @returns {Promise<Stored>}
     */
    load(keep: number): Promise<Stored>;
    /**
     * @param {number} generation
     * @param {Batch} batch
     */
    apply(generation: number, batch: Batch): Promise<boolean>;
    /** @param {Batch} batch */
    reset(batch: Batch): Promise<any>;
    /** @returns {Promise<Entry[]>} */
    outbox(): Promise<Entry[]>;
    /** @param {Entry} entry */
    put(entry: Entry): Promise<number>;
    /** @param {Uuid} clientRef */
    remove(clientRef: Uuid): Promise<void>;
    clear(): Promise<void>;
    /** @param {AbortSignal} signal */
    lock(signal: AbortSignal): Promise<() => void>;
    /** @param {() => void} changed */
    watch(changed: () => void): () => void | undefined;
    close(): void;
}
