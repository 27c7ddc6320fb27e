/** What a store promises, over tables of a database, or of what is like one. */
import type { Batch, Entry, Stored, Uuid } from "../types.js";
export type Table = {
    get: (key: IDBValidKey) => Promise<any>;
    /**
     * by their keys
     */
    all: () => Promise<any[]>;
    /**
     * by its own key
     */
    put: (value: any) => unknown;
    remove: (key: any) => unknown;
    clear: () => unknown;
};
export type TableName = "meta" | "threads" | "messages" | "ranges" | "outbox";
/**
 * @typedef {object} Table
 * @property {(key: IDBValidKey) => Promise<any>} get
 * @property {() => Promise<any[]>} all by their keys
 * @property {(value: any) => unknown} put by its own key
 * @property {(key: any) => unknown} remove
 * @property {() => unknown} clear
 */
/** @typedef {"meta" | "threads" | "messages" | "ranges" | "outbox"} TableName */
/** The key of each table, in its values. */
export declare const TABLES: {
    meta: string;
    threads: string;
    messages: string;
    ranges: string;
    outbox: string;
};
export type Transaction = <T>(work: (of: Record<TableName, Table>) => Promise<T>, durable?: boolean) => Promise<T>;
/**
 * Runs `work` so that all of it takes effect, or nothing, and nothing else meanwhile. If it is to be `durable`, it is on the disk
 * before it is told.
 *
 * @typedef {<T>(work: (of: Record<TableName, Table>) => Promise<T>, durable?: boolean) => Promise<T>} Transaction
 */
/** Each method is one transaction. */
export declare class TableStore {
    transaction: Transaction;
    changed: () => void;
    /**
     * @param {Transaction} transaction
     * @param {() => void} changed called when the outbox was
     */
    constructor(transaction: Transaction, changed: () => void);
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
    /**
     * @param {Entry} entry
     * @returns {Promise<number>}
     */
    put(entry: Entry): Promise<number>;
    /** @param {Uuid} clientRef */
    remove(clientRef: Uuid): Promise<void>;
    clear(): Promise<void>;
}
