/** The parts, and what they tell each other. */
import type { AckFrame, Entry, Limits, Options, Sending, SendOptions, ShownMessage, Store, Uuid } from "./types.js";
import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { Keeper } from "./keeper.js";
import { Outbox } from "./outbox.js";
import { Receipts } from "./receipts.js";
import { Rest } from "./rest.js";
import { Sync } from "./sync.js";
import { Tokens } from "./token.js";
import { Typing } from "./typing.js";
export declare class Engine {
    #private;
    options: Options;
    troubled: (error: unknown) => void;
    tokens: Tokens;
    rest: Rest;
    /** @type {Store} */
    store: Store;
    keeper: Keeper;
    sync: Sync;
    calls: Calls;
    receipts: Receipts;
    typing: Typing;
    transport: {
        rest: Rest;
        XMLHttpRequest: (new () => XMLHttpRequest) | null;
        idle: number;
    };
    outbox: Outbox;
    connection: Connection;
    emitter: Emitter;
    /** @type {Limits | null} */
    limits: Limits | null;
    /** @type {string | null} */
    sessionId: string | null;
    /** @param {Options} options */
    constructor(options: Options);
    start(): void;
    load(): Promise<void>;
    close(): Promise<void>;
    signOut(): Promise<void>;
    now(): number;
    unreadTotal(): number;
    /**
     * @param {Uuid} peerId
     * @param {string} message_body
     * @param {SendOptions} options
     * @param {Pick<Entry, "file" | "name" | "dispatch">} [upload]
     * @returns {Promise<Sending>}
     */
    add(peerId: Uuid, message_body: string, { replyTo, meta, clientRef }: SendOptions, upload?: Pick<Entry, "file" | "name" | "dispatch">): Promise<Sending>;
    /**
     * What became of the message is read where it was refused.
     *
     * @param {number} id
     * @param {import("./types.js").ClientFrame} frame
     * @param {string} key
     */
    verb(id: number, frame: import("./types.js").ClientFrame, key: string): Promise<AckFrame>;
    /** @param {Uuid[] | null} peerIds */
    watch(peerIds: Uuid[] | null): void;
    /** Without a socket: all changes, and that they were delivered. */
    pull(): Promise<number>;
    /**
     * @param {Entry} entry
     * @returns {ShownMessage}
     */
    shown({ client_ref, peer_id, message_body, reply_to, meta, created, failed, file, name }: Entry): ShownMessage;
    /** @param {Uuid} peerId */
    changed(peerId: Uuid): void;
}
