/** One connection that comes back: with backoff, by what a close says, and over to another server before a drain. */
import type { ClientFrame, HelloFrame, LiveFrame, Options, ServerFrame, State, StopReason, Timing } from "./types.js";
import { Socket } from "./socket.js";
export type ConnectionEvents = {
    /**
     * gives where to connect
     */
    prepare: () => Promise<{
        url: string;
        protocols?: string[];
    }>;
    /**
     * whether the connection may go on
     */
    hello: (frame: HelloFrame) => boolean;
    /**
     * frames go to this socket from now on
     */
    connected: (socket: Socket) => void;
    live: (frame: LiveFrame) => void;
    /**
     * any other
     */
    frame: (frame: ServerFrame) => void;
    /**
     * no socket serves; and the `ref` of the frame that was the reason
     */
    lost: (culprit: string | null) => void;
    /**
     * the token was
     */
    refused: () => void;
    state: (state: State, reason: StopReason | null) => void;
};
/**
 * @typedef {object} ConnectionEvents
 * @property {() => Promise<{ url: string, protocols?: string[] }>} prepare gives where to connect
 * @property {(frame: HelloFrame) => boolean} hello whether the connection may go on
 * @property {(socket: Socket) => void} connected frames go to this socket from now on
 * @property {(frame: LiveFrame) => void} live
 * @property {(frame: ServerFrame) => void} frame any other
 * @property {(culprit: string | null) => void} lost no socket serves; and the `ref` of the frame that was the reason
 * @property {() => void} refused the token was
 * @property {(state: State, reason: StopReason | null) => void} state
 */
export declare class Connection {
    #private;
    WebSocket: new (url: string, protocols?: string[]) => import("./types.js").SocketLike;
    timing: Timing;
    random: () => number;
    on: ConnectionEvents;
    /** @type {State} */
    state: State;
    /** @type {StopReason | null} */
    reason: StopReason | null;
    /**
     * @param {NonNullable<Options["WebSocket"]>} WebSocket
     * @param {Timing} timing
     * @param {() => number} random
     * @param {ConnectionEvents} on
     */
    constructor(WebSocket: NonNullable<Options["WebSocket"]>, timing: Timing, random: () => number, on: ConnectionEvents);
    start(): void;
    /** @param {StopReason} reason */
    stop(reason: StopReason): void;
    /** Connects anew, at once. */
    restart(): void;
    get serves(): boolean;
    /** @param {ClientFrame} frame */
    send(frame: ClientFrame): boolean;
    /** Gives up the socket that serves, and comes back with backoff. */
    drop(): void;
    /** @param {boolean} newNetwork */
    wake(newNetwork: boolean): void;
}
