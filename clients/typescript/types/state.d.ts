/** What is held, in memory: threads with their messages, and what is unread. Objects in it are never changed, but replaced. */
import type { HeldThread, Message, Range, ShownThread, Stored, ThreadState, Uuid } from "./types.js";
export declare class State {
    #private;
    /** @type {Map<number, HeldThread>} */
    threads: Map<number, HeldThread>;
    /** @type {Map<number, Message>} */
    messages: Map<number, Message>;
    clear(): void;
    /** @param {Pick<Stored, "threads" | "messages" | "ranges">} stored */
    load({ threads, messages, ranges }: Pick<Stored, "threads" | "messages" | "ranges">): void;
    /**
     * Gives the thread as it is then held, or null where what came is old.
     *
     * @param {ThreadState & Partial<HeldThread>} next
     */
    thread(next: ThreadState & Partial<HeldThread>): HeldThread | null;
    /** Gives whether it is newer than what is held. @param {Message} next */
    message(next: Message): boolean;
    /** @param {Range} range */
    range(range: Range): void;
    /** @param {number} id */
    remove(id: number): void;
    /** From which message on the thread is held without a hole. @param {number} thread */
    from(thread: number): number | undefined;
    /** @param {Uuid} peerId */
    withPeer(peerId: Uuid): HeldThread | undefined;
    /** The messages of a thread that are to be shown, by id. @param {number} thread */
    shown(thread: number): Message[];
    /**
     * @param {HeldThread} thread
     * @returns {ShownThread}
     */
    show(thread: HeldThread): ShownThread;
    /** The greatest id first. */
    showAll(): ShownThread[];
    /**
     * A mark that is on its way to the server.
     *
     * @param {Uuid} peerId
     * @param {number} upTo
     */
    marked(peerId: Uuid, upTo: number): void;
    /**
     * What the newest state says, and the messages of the peer above its `last_id`. Counted each time: frames come out of order,
     * and again.
     *
     * @param {HeldThread} thread
     */
    unread(thread: HeldThread): number;
    /** Of all threads that are held and not blocked. */
    unreadTotal(): number;
}
