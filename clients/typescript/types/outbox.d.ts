/**
 * What is to be sent. Each entry is written down before its first byte leaves, and repeated until it is acknowledged, seen as
 * an own message, or refused for good. One text per thread is under way, by one user of the store.
 */
import type { AckFrame, Entry, ErrorFrame, Limits, Message, Sent, Store, Uuid } from "./types.js";
import type { Socket } from "./socket.js";
/** @import { AckFrame, Entry, ErrorCode, ErrorFrame, Limits, Message, Sent, Store, Uuid } from "./types.js" */
/** @import { Socket } from "./socket.js" */
import { Backoff } from "./backoff.js";
import { ChatError } from "./errors.js";
export type OutboxOptions = {
    store: Store;
    /**
     * at a time
     */
    uploads: number;
    backoff: () => Backoff;
    upload: (entry: Entry, signal: AbortSignal) => Promise<Message>;
    /**
     * to keep the message, and remove the entry from the store
     */
    acked: (entry: Entry, ack: AckFrame) => void;
    /**
     * the same
     */
    uploaded: (message: Message) => void;
    changed: (peerId: Uuid | null) => void;
    failed: (entry: Entry, error: ChatError) => void;
    /**
     * by the store
     */
    troubled: (error: unknown) => void;
};
/**
 * @typedef {object} OutboxOptions
 * @property {Store} store
 * @property {number} uploads at a time
 * @property {() => Backoff} backoff
 * @property {(entry: Entry, signal: AbortSignal) => Promise<Message>} upload
 * @property {(entry: Entry, ack: AckFrame) => void} acked to keep the message, and remove the entry from the store
 * @property {(message: Message) => void} uploaded the same
 * @property {(peerId: Uuid | null) => void} changed
 * @property {(entry: Entry, error: ChatError) => void} failed
 * @property {(error: unknown) => void} troubled by the store
 */
export declare class Outbox {
    #private;
    of: OutboxOptions;
    /** @type {Map<Uuid, Entry>} */
    entries: Map<Uuid, Entry>;
    /** @type {Limits | null} */
    limits: Limits | null;
    /** @param {OutboxOptions} of */
    constructor(of: OutboxOptions);
    /** @param {Entry[]} entries */
    load(entries: Entry[]): void;
    /**
     * Reads it again: another tab has changed it, or had it.
     */
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
    /**
     * A refused one again.
     *
     * @param {Uuid} ref
     */
    retry(ref: Uuid): Promise<boolean>;
    /**
     * Takes it out. False where it is not there, or under way: then it may be stored any moment.
     *
     * @param {Uuid} ref
     */
    discard(ref: Uuid): Promise<boolean>;
    /** @param {Socket} socket */
    connected(socket: Socket): void;
    /** @param {string | null} culprit the `ref` of the frame that the server closed for */
    lost(culprit: string | null): void;
    /** Ends the uploads, too. What is written down stays. */
    end(): void;
    /** @param {AckFrame | ErrorFrame} frame */
    answered(frame: AckFrame | ErrorFrame): void;
    /**
     * Its message is stored. The first to tell so settles it.
     *
     * @param {Uuid} ref
     * @param {Omit<Sent, "client_ref">} sent
     */
    settled(ref: Uuid, sent: Omit<Sent, "client_ref">): boolean;
    /**
     * Gives up what is older than the server keeps messages.
     *
     * @param {number} before milliseconds since 1970
     */
    giveUp(before: number): void;
    /** Those of a thread, in their order. @param {Uuid} peerId */
    ofPeer(peerId: Uuid): Entry[];
    pump(): void;
}
