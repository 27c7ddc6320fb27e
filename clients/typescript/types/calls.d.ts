/** Frames that are answered by their `ref`. Every verb may be repeated: what was not answered goes out again after a break. */
import type { AckFrame, ClientFrame, ErrorFrame } from "./types.js";
import type { Backoff } from "./backoff.js";
import type { Socket } from "./socket.js";
/** @import { AckFrame, ClientFrame, ErrorFrame } from "./types.js" */
/** @import { Backoff } from "./backoff.js" */
/** @import { Socket } from "./socket.js" */
import { ChatError } from "./errors.js";
export type Call = {
    frame: ClientFrame;
    end(ack: AckFrame | null, error?: ChatError): void;
    wait: () => number;
    waits?: boolean;
};
/** @typedef {{ frame: ClientFrame, end(ack: AckFrame | null, error?: ChatError): void, wait: () => number, waits?: boolean }} Call */
export declare class Calls {
    #private;
    timeout: number;
    backoff: Backoff;
    /**
     * @param {number} timeout milliseconds
     * @param {Backoff} backoff
     */
    constructor(timeout: number, backoff: Backoff);
    /**
     * @param {ClientFrame} frame
     * @param {string} key calls of one key replace each other: an older one is not repeated after a newer
     * @param {(ack: AckFrame) => void} [taken] called before the frame behind the ack is looked at
     * @param {number} [timeout] milliseconds; 0 is none
     * @returns {Promise<AckFrame>}
     */
    call(frame: ClientFrame, key: string, taken?: (ack: AckFrame) => void, timeout?: number): Promise<AckFrame>;
    /** Repeats it no more. It has no end then, but for what comes. @param {string} key */
    forget(key: string): void;
    /** Whether it was refused for now, and waits to be repeated. @param {string} key */
    waits(key: string): boolean | undefined;
    /** @param {Socket} socket */
    connected(socket: Socket): void;
    /**
     * One frame is not repeated where the server closed for it: the largest after 1009, and otherwise the last.
     *
     * @param {number} flood the code of such a close, or 0
     */
    lost(flood: number): void;
    /** @param {AckFrame | ErrorFrame} frame */
    answered(frame: AckFrame | ErrorFrame): void;
    /** @param {ChatError} error */
    end(error: ChatError): void;
}
