/** The parts of a client, and what they tell each other. */
import type { AckFrame, Entry, HelloFrame, Limits, LiveFrame, Message, Options, ServerFrame, State, Store, StopReason, Uuid } from "./types.js";
import type { Socket } from "./socket.js";
import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { Handshake } from "./handshake.js";
import { Keeper } from "./keeper.js";
import { Outbox } from "./outbox.js";
import { Receipts } from "./receipts.js";
import { Rest } from "./rest.js";
import { Sync } from "./sync.js";
import { Typing } from "./typing.js";
export declare class Engine {
    #private;
    options: Options;
    /** @param {unknown} error */
    troubled: (error: unknown) => void;
    backoff: () => () => number;
    rest: Rest;
    handshake: Handshake;
    transport: {
        rest: Rest;
        XMLHttpRequest: (new () => XMLHttpRequest) | null;
        idle: number;
    };
    /** @type {Store} */
    store: Store;
    keeper: Keeper;
    sync: Sync;
    calls: Calls;
    receipts: Receipts;
    connection: Connection;
    typing: Typing;
    outbox: Outbox;
    emitter: Emitter;
    /** @type {Limits | null} */
    limits: Limits | null;
    /** The clock of the server, less this one's. Milliseconds. */
    offset: number;
    /** @param {Options} options */
    constructor(options: Options);
    start(): void;
    load(): Promise<void>;
    /** @param {boolean} clear removes what is held of the user, too */
    close(clear: boolean): Promise<void>;
    get unreadTotal(): number;
    /** @param {Uuid[] | null} peerIds */
    watch(peerIds: Uuid[] | null): void;
    /** Without a socket: all changes, and that they were delivered. */
    pull(): Promise<number>;
    onPrepare(): Promise<{
        url: string;
        protocols: string[] | undefined;
    }>;
    onRefused(): void;
    /** @param {HelloFrame} frame */
    onHello(frame: HelloFrame): boolean;
    /** @param {Socket} socket */
    onConnected(socket: Socket): void;
    /** @param {LiveFrame} frame */
    onLive({ cursor, unread_total }: LiveFrame): void;
    /** @param {number} flood */
    onLost(flood: number): void;
    /** @param {State} state @param {StopReason | null} reason */
    onState(state: State, reason: StopReason | null): void;
    /** @param {ServerFrame} frame */
    onFrame(frame: ServerFrame): void;
    /** @param {Uuid} peerId */
    onThread(peerId: Uuid): void;
    /** @param {Message} message */
    onArrived({ id, thread, sender_id, deleted, hidden }: Message): void;
    /** @param {Message} message */
    onOwn({ client_ref, id, thread, created }: Message): void;
    onGaveUp(): void;
    /** Another tab has replaced what is stored. */
    onReplaced(): void;
    /** @param {Uuid} peerId @param {AckFrame} ack */
    onMarked(peerId: Uuid, { seen_id, delivered_id }: AckFrame): void;
    /** The message of a send, before its frame comes. @param {Entry} entry @param {AckFrame} ack */
    onAcked(entry: Entry, { message_id, thread, created, repeated }: AckFrame): void;
    /** @param {Message} message */
    onUploaded(message: Message): void;
    /**
     * @param {Entry} entry
     * @param {AbortSignal} signal
     * @returns {Promise<Message>}
     */
    onUpload(entry: Entry, signal: AbortSignal): Promise<Message>;
}
