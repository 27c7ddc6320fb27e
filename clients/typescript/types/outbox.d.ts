/**
 * What is to be sent. Each entry is written down before its first byte leaves, and repeated until it is acknowledged, seen as
 * an own message, or refused for good. One text per thread is under way, by one user of the store.
 */
import type { AckFrame, Entry, Message, Sent, Store, Uuid } from "./types.js";
import type { Calls } from "./calls.js";
import type { Backoff } from "./backoff.js";
import type { Emitter } from "./emitter.js";
export type OutboxEvents = {
    backoff: Backoff;
    onUpload: (entry: Entry, signal: AbortSignal) => Promise<Message>;
    /**
     * to keep the message, and settle it
     */
    onAcked: (entry: Entry, ack: AckFrame) => void;
    /**
     * the same
     */
    onUploaded: (message: Message) => void;
    troubled: (error: unknown) => void;
};
/**
 * @typedef {object} OutboxEvents
 * @property {Backoff} backoff
 * @property {(entry: Entry, signal: AbortSignal) => Promise<Message>} onUpload
 * @property {(entry: Entry, ack: AckFrame) => void} onAcked to keep the message, and settle it
 * @property {(message: Message) => void} onUploaded the same
 * @property {(error: unknown) => void} troubled
 */
export declare class Outbox {
    #private;
    store: Store;
    calls: Calls;
    emitter: Emitter;
    most: number;
    on: OutboxEvents;
    /** @type {Map<Uuid, Entry>} */
    entries: Map<Uuid, Entry>;
    /**
     * @param {Store} store
     * @param {Calls} calls
     * @param {Emitter} emitter
     * @param {number} most uploads at a time
     * @param {OutboxEvents} on
     */
    constructor(store: Store, calls: Calls, emitter: Emitter, most: number, on: OutboxEvents);
    /** @param {Entry[]} entries */
    load(entries: Entry[]): void;
    /** Reads it again: another tab has changed it, or had it. */
    reload(): Promise<void>;
    /**
     * Gives the promise of its end once it is written down.
     *
     * @param {Entry} entry
     * @returns {Promise<{ sent: Promise<Sent> }>}
     */
    add(entry: Entry): Promise<{
        sent: Promise<Sent>;
    }>;
    /** A refused one again. @param {Uuid} ref */
    retry(ref: Uuid): Promise<boolean>;
    /**
     * Takes it out. False where it is not there, or under way: then it may be stored any moment.
     *
     * @param {Uuid} ref
     */
    discard(ref: Uuid): Promise<boolean>;
    connected(): void;
    lost(): void;
    /** Ends the uploads, too. What is written down stays. */
    end(): void;
    /** Its message is stored. The first to tell so settles it. @param {Sent} sent */
    settled(sent: Sent): void;
    /** Gives up what is older than the server keeps messages. @param {number} before milliseconds since 1970 */
    giveUp(before: number): void;
    /** Those of a thread, in their order. @param {Uuid} peerId */
    ofPeer(peerId: Uuid): Entry[];
    pump(): void;
}
