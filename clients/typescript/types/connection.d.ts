/** One connection that comes back: with backoff, by what a close says, and over to another server before a drain. */
import type { ClientFrame, HelloFrame, LiveFrame, Options, ServerFrame, State, StopReason, Timing } from "./types.js";
import type { Backoff } from "./backoff.js";
import { Socket } from "./socket.js";
export type ConnectionEvents = {
    /**
     * gives where to connect
     */
    onPrepare: () => Promise<{
        url: string;
        protocols?: string[];
    }>;
    /**
     * whether the connection may go on
     */
    onHello: (frame: HelloFrame) => boolean;
    /**
     * frames go to this socket from now on
     */
    onConnected: (socket: Socket) => void;
    onLive: (frame: LiveFrame) => void;
    /**
     * any other
     */
    onFrame: (frame: ServerFrame) => void;
    /**
     * no socket serves; and the code of the close where a frame was the reason
     */
    onLost: (flood: number) => void;
    /**
     * the token was
     */
    onRefused: () => void;
    onState: (state: State, reason: StopReason | null) => void;
};
/**
 * @typedef {object} ConnectionEvents
 * @property {() => Promise<{ url: string, protocols?: string[] }>} onPrepare gives where to connect
 * @property {(frame: HelloFrame) => boolean} onHello whether the connection may go on
 * @property {(socket: Socket) => void} onConnected frames go to this socket from now on
 * @property {(frame: LiveFrame) => void} onLive
 * @property {(frame: ServerFrame) => void} onFrame any other
 * @property {(flood: number) => void} onLost no socket serves; and the code of the close where a frame was the reason
 * @property {() => void} onRefused the token was
 * @property {(state: State, reason: StopReason | null) => void} onState
 */
export declare class Connection {
    #private;
    WebSocket: new (url: string, protocols?: string[]) => import("./types.js").SocketLike;
    timing: Timing;
    random: () => number;
    on: ConnectionEvents;
    backoff: Backoff;
    /** @type {State} */
    state: State;
    /** @type {StopReason | null} */
    reason: StopReason | null;
    /**
     * @param {NonNullable<Options["WebSocket"]>} WebSocket
     * @param {Timing} timing
     * @param {() => number} random
     * @param {Backoff} backoff
     * @param {ConnectionEvents} on
     */
    constructor(WebSocket: NonNullable<Options["WebSocket"]>, timing: Timing, random: () => number, backoff: Backoff, on: ConnectionEvents);
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
    /** The user is back, or the network is another: no wait is left, and is what is there still good? */
    wake(): void;
}
