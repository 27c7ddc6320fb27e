/** One WebSocket: its first frame is `hello`, and it is found out when nobody is there any more. */
import type { ClientFrame, Options, ServerFrame, Timing } from "./types.js";
export type SocketEvents = {
    frame: (frame: ServerFrame, socket: Socket) => void;
    /**
     * not called where this side closed it
     */
    closed: (code: number, socket: Socket) => void;
};
/** @import { ClientFrame, Options, ServerFrame, SocketLike, Timing } from "./types.js" */
/**
 * @typedef {object} SocketEvents
 * @property {(frame: ServerFrame, socket: Socket) => void} frame
 * @property {(code: number, socket: Socket) => void} closed not called where this side closed it
 */
export declare class Socket {
    #private;
    greeted: boolean;
    live: boolean;
    /**
     * @param {NonNullable<Options["WebSocket"]>} WebSocket
     * @param {{ url: string, protocols?: string[] }} target
     * @param {Timing} timing
     * @param {SocketEvents} on
     */
    constructor(WebSocket: NonNullable<Options["WebSocket"]>, { url, protocols }: {
        url: string;
        protocols?: string[];
    }, timing: Timing, on: SocketEvents);
    /**
     * Whether it could be given to the socket. That says nothing about its arrival.
     *
     * @param {ClientFrame} frame
     */
    send(frame: ClientFrame): boolean;
    /** Is it still there? It is dropped where no frame comes in time. */
    probe(): void;
    /** Closes it. Nobody is told. */
    close(): void;
    /** Gives it up, without waiting for its close. */
    drop(): void;
}
