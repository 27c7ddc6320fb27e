/** The state, and the store behind it: changes are seen at once, and stored in batches with the cursor after them. */
import type { HeldThread, Message, Range, Store, ThreadState, Uuid } from "./types.js";
/** @import { Batch, HeldThread, Message, Range, Store, ThreadState, Uuid } from "./types.js" */
import { State } from "./state.js";
export declare class Keeper {
    #private;
    store: Store;
    delay: number;
    on: {
        lost(): void;
        failed(error: unknown): void;
    };
    state: State;
    /** The place in the feed that everything held is good up to. @type {string | null} */
    cursor: string | null;
    /** Where the list of threads goes on. @type {string | null} */
    next: string | null;
    /** @type {Uuid | null} */
    userId: Uuid | null;
    /**
     * @param {Store} store
     * @param {number} delay milliseconds
     * @param {{ lost(): void, failed(error: unknown): void }} on `lost`: another tab has replaced what is stored
     */
    constructor(store: Store, delay: number, on: {
        lost(): void;
        failed(error: unknown): void;
    });
    /** @param {number} keep */
    load(keep: number): Promise<import("./types.js").Entry[]>;
    /** @param {Uuid} userId */
    setUser(userId: Uuid): void;
    /** @param {string} cursor */
    setCursor(cursor: string): void;
    /** @param {string | null} next */
    setNext(next: string | null): void;
    /** @param {ThreadState & Partial<HeldThread>} thread */
    thread(thread: ThreadState & Partial<HeldThread>): HeldThread | null;
    /** @param {Message} message */
    message(message: Message): boolean;
    /** @param {Range} range */
    range(range: Range): void;
    /** @param {number} id */
    remove(id: number): void;
    /**
     * A snapshot: what `fill` adds replaces all that is held.
     *
     * @param {() => void} fill
     */
    reset(fill: () => void): Promise<void>;
    /** Stores all that has changed. */
    flush(): Promise<void>;
    stop(): void;
}
