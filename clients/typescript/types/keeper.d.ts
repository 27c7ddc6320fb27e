/** The state, and the store behind it: changes are seen at once, and stored in batches with the cursor after them. */
import type { HeldThread, Message, Range, Store, ThreadState, Uuid } from "./types.js";
/** @import { Batch, HeldThread, Message, Range, Store, ThreadState, Uuid } from "./types.js" */
import { State } from "./state.js";
export declare class Keeper extends State {
    #private;
    store: Store;
    delay: number;
    on: {
        onReplaced(): void;
        troubled(error: unknown): void;
    };
    /** The place in the feed that everything held is good up to. @type {string | null} */
    cursor: string | null;
    /** Where the list of threads goes on. @type {string | null} */
    next: string | null;
    /** @type {Uuid | null} */
    userId: Uuid | null;
    /**
     * @param {Store} store
     * @param {number} delay milliseconds
     * @param {{ onReplaced(): void, troubled(error: unknown): void }} on `onReplaced`: by another tab
     */
    constructor(store: Store, delay: number, on: {
        onReplaced(): void;
        troubled(error: unknown): void;
    });
    /** @param {number} keep */
    open(keep: number): Promise<import("./types.js").Entry[]>;
    /** @param {Uuid} userId */
    setUser(userId: Uuid): void;
    /** @param {string} cursor */
    setCursor(cursor: string): void;
    /** @param {string | null} next */
    setNext(next: string | null): void;
    /** @param {ThreadState & Partial<HeldThread>} thread @override */
    thread(thread: ThreadState & Partial<HeldThread>): HeldThread | null;
    /** @param {Message} message @override */
    message(message: Message): boolean;
    /** @param {Range} range @override */
    range(range: Range): void;
    /** @param {number} id @override */
    remove(id: number): void;
    /** A snapshot: what `fill` adds replaces all that is held. @param {() => void} fill */
    reset(fill: () => void): Promise<void>;
    /** Stores all that has changed. */
    flush(): Promise<void>;
    stop(): void;
}
