/** What an app calls. */
import type { Attachment, Block, Events, Message, Meta, Options, Sending, SendOptions, ShownMessage, ShownThread, UploadOptions, Uuid } from "./types.js";
/** A client of one user: what it holds, what it is to send, and the connection that keeps both right. */
export declare class ChatClient {
    #private;
    /** @param {Options} options */
    constructor(options: Options);
    /** Connects, and comes back by itself until `close()`. Also after it stopped for a reason. */
    connect(): void;
    /** Resolves when what is stored is held. It can be shown without a connection. */
    load(): Promise<void>;
    /** Ends it. What is held stays in the store. Another client goes on from there. */
    close(): Promise<void>;
    /** Ends it, and removes all that is held of the user. */
    signOut(): Promise<void>;
    /** The app was brought to the front, or the network is another. In browsers it is told by itself. */
    wake(): void;
    get state(): import("./types.js").State;
    /** Why it is `stopped`. */
    get stopReason(): import("./types.js").StopReason | null;
    /** Known after the first `hello`, or from the store. */
    get userId(): string | null;
    /** Of the server: null before the first `hello`. */
    get limits(): import("./types.js").Limits | null;
    /** Milliseconds since 1970 by the clock of the server: for ages. */
    now(): number;
    /** For requests of one's own: it knows the token. */
    get rest(): import("./rest.js").Rest;
    /**
     * @template {keyof Events} K
     * @param {K} type
     * @param {(event: Events[K]) => void} listener
     * @returns {() => void} takes it away
     */
    on<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): () => void;
    /** All events from now on: `for await (const event of client.events())`. */
    events(): AsyncIterableIterator<import("./types.js").AnyEvent>;
    /** The threads that are held, the one with the greatest message id first. */
    threads(): ShownThread[];
    /** @param {Uuid} peerId @returns {ShownThread | null} */
    thread(peerId: Uuid): ShownThread | null;
    /**
     * What is to be shown of a conversation: the newest part of it without a hole, then what is not sent yet.
     *
     * @param {Uuid} peerId
     * @returns {ShownMessage[]}
     */
    messages(peerId: Uuid): ShownMessage[];
    /** Of all conversations that are not blocked; 1000 stands for more. */
    get unreadTotal(): number;
    /**
     * Reads an older page. Gives whether there are more.
     *
     * @param {Uuid} peerId
     * @param {number} [limit] 1 to 200
     */
    history(peerId: Uuid, limit?: number): Promise<boolean>;
    /** Reads all changes without a socket, as for a push. Gives how many. */
    pull(): Promise<number>;
    /**
     * Resolves when it is written down: from then on it is sent for sure, once, also after a reload.
     *
     * @param {Uuid} peerId
     * @param {string} text
     * @param {SendOptions} [options]
     * @returns {Promise<Sending>}
     */
    send(peerId: Uuid, text: string, options?: SendOptions): Promise<Sending>;
    /**
     * The same of a file. Its progress comes as `upload`; `discard()` cancels it.
     *
     * @param {Uuid} peerId
     * @param {Blob | File} file
     * @param {UploadOptions} [options]
     * @returns {Promise<Sending>}
     */
    upload(peerId: Uuid, file: Blob | File, { message, name, dispatch, ...options }?: UploadOptions): Promise<Sending>;
    /** Sends what was refused again. @param {Uuid} clientRef */
    retry(clientRef: Uuid): Promise<boolean>;
    /** Takes out what is not sent, or cancels an upload. False: it is too late. @param {Uuid} clientRef */
    discard(clientRef: Uuid): Promise<boolean>;
    /**
     * @param {number} id
     * @param {string} text
     * @param {{ meta?: Meta }} [options] left out, `meta` stays; null removes it
     */
    edit(id: number, text: string, { meta }?: {
        meta?: Meta;
    }): Promise<import("./types.js").AckFrame>;
    /** @param {number} id @param {"everyone" | "me"} whom */
    delete(id: number, whom: "everyone" | "me"): Promise<import("./types.js").AckFrame>;
    /** Lets the receiver learn of a file that was uploaded with `dispatch: false`. @param {number} id */
    dispatch(id: number): Promise<import("./types.js").AckFrame>;
    /**
     * The user has seen a conversation: all of it, or up to a message. Call it for what is on the screen of an active app.
     *
     * @param {Uuid} peerId
     * @param {number} [upTo]
     */
    seen(peerId: Uuid, upTo?: number): void;
    /** Call it at each key, and with false when the text is given up. @param {Uuid} peerId */
    typing(peerId: Uuid, typing?: boolean): void;
    /**
     * Whose presence is told from now on, as `presence`, over reconnects. It replaces the list. At most 100.
     *
     * @param {Uuid[]} peerIds
     */
    watchPresence(peerIds: Uuid[]): void;
    /** Who may see the user online. Who hides sees nobody. @param {"peers" | "nobody"} presence */
    setPresence(presence: "peers" | "nobody"): Promise<import("./types.js").AckFrame>;
    /** @param {Uuid} peerId */
    block(peerId: Uuid): Promise<import("./types.js").AckFrame>;
    /** @param {Uuid} peerId */
    unblock(peerId: Uuid): Promise<import("./types.js").AckFrame>;
    /** @returns {AsyncGenerator<Block, void, void>} */
    blocks(): AsyncGenerator<Block, void, void>;
    /**
     * Messages with all words, the newest first. Fails with `not_enabled` where the server has no search.
     *
     * @param {string} words
     * @param {{ peerId?: Uuid, limit?: number }} [options] `limit` is that of a page
     * @returns {AsyncGenerator<Message, void, void>}
     */
    search(words: string, { peerId, limit }?: {
        peerId?: Uuid;
        limit?: number;
    }): AsyncGenerator<Message, void, void>;
    /**
     * The messages of a conversation, straight from the server, page by page.
     *
     * @param {Uuid} peerId
     * @param {{ before?: number, after?: number, order?: "newest" | "oldest", limit?: number }} [options]
     * @returns {AsyncGenerator<Message, void, void>}
     */
    read(peerId: Uuid, options?: {
        before?: number;
        after?: number;
        order?: "newest" | "oldest";
        limit?: number;
    }): AsyncGenerator<Message, void, void>;
    /**
     * An address of a file that is good for a while without a token: for `<img>` and players.
     *
     * @param {Attachment} attachment
     * @returns {Promise<{ url: string, expires_in_s: number }>}
     */
    link(attachment: Attachment): Promise<{
        url: string;
        expires_in_s: number;
    }>;
}
