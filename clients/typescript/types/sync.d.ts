/** What the server tells, by frames and answers, into the state: upserts, snapshots, and reads of what is missing. */
import type { Message, Reset, Thread, Uuid } from "./types.js";
import type { Emitter } from "./emitter.js";
import type { Keeper } from "./keeper.js";
import type { Rest } from "./rest.js";
export type SyncEvents = {
    /**
     * one that is here now
     */
    onArrived: (message: Message) => void;
    /**
     * it came, or changed
     */
    onThread: (peerId: Uuid) => void;
    /**
     * one with a `client_ref`: a send is settled
     */
    onOwn: (message: Message) => void;
    /**
     * the snapshot could not be had
     */
    onGaveUp: () => void;
    troubled: (error: unknown) => void;
};
/**
 * @typedef {object} SyncEvents
 * @property {(message: Message) => void} onArrived one that is here now
 * @property {(peerId: Uuid) => void} onThread it came, or changed
 * @property {(message: Message) => void} onOwn one with a `client_ref`: a send is settled
 * @property {() => void} onGaveUp the snapshot could not be had
 * @property {(error: unknown) => void} troubled
 */
export declare class Sync {
    #private;
    keeper: Keeper;
    rest: Rest;
    emitter: Emitter;
    on: SyncEvents;
    /** The sum that the server told last. */
    total: number;
    /** @type {Promise<void>} */
    replacing: Promise<void>;
    /**
     * @param {Keeper} keeper
     * @param {Rest} rest
     * @param {Emitter} emitter
     * @param {SyncEvents} on
     */
    constructor(keeper: Keeper, rest: Rest, emitter: Emitter, on: SyncEvents);
    /** What was not read yet when the store was left. */
    loaded(): void;
    /** All that was missed is through. @param {string} cursor */
    live(cursor: string): void;
    /** @param {any} frame a `message` or `thread`; of a page without a cursor */
    change(frame: any): void;
    /** @param {Message} message */
    peerOf(message: Message): string;
    /** Upserts what any answer has. @param {Message} message */
    take(message: Message): boolean;
    /** @param {Thread} thread as REST gives it */
    takeThread({ last_message, ...thread }: Thread): void;
    /**
     * Replaces everything by what the server has. What comes meanwhile waits.
     *
     * @param {Reset | "behind" | "new"} reset
     */
    snapshot(reset: Reset | "behind" | "new"): Promise<void>;
    /** Reads what is missing: threads of which only a message is held, and the rest of the list. */
    catchUp(): Promise<void>;
    /** An older page of a thread. Gives whether there are more. @param {Uuid} peerId @param {number} limit */
    history(peerId: Uuid, limit: number): Promise<boolean>;
    /**
     * All changes since the cursor, without a socket.
     */
    pull(): Promise<number>;
    /** Reads a message again. It is removed where it is not visible any more. @param {number} id */
    message(id: number): Promise<void>;
}
