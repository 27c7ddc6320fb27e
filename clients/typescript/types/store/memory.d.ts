import type { Batch, Entry, Store, Stored, Uuid } from "../types.js";
/**
 * Keeps everything until the page or the process ends. Several clients may share one.
 *
 * @implements {Store}
 */
export declare class MemoryStore implements Store {
    #private;
    /** @returns {Promise<Stored>} */
    load(): Promise<Stored>;
    /**
     * @param {number} generation
     * @param {Batch} batch
     */
    apply(generation: number, batch: Batch): Promise<boolean>;
    /** @param {Batch} batch */
    reset(batch: Batch): Promise<number>;
    outbox(): Promise<Entry[]>;
    /** @param {Entry} entry */
    put(entry: Entry): Promise<number>;
    /** @param {Uuid} clientRef */
    remove(clientRef: Uuid): Promise<void>;
    clear(): Promise<void>;
    /** @param {AbortSignal} signal */
    lock(signal: AbortSignal): Promise<() => void>;
    /** @param {() => void} changed */
    watch(changed: () => void): () => undefined;
}
