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
    key: string;
    resolve(ack: AckFrame): void;
    reject(error: ChatError): void;
    backoff: Backoff;
};
/** @typedef {{ frame: ClientFrame, key: string, resolve(ack: AckFrame): void, reject(error: ChatError): void, backoff: Backoff }} Call */
export declare class Calls {
    #private;
    timeout: number;
    backoff: () => Backoff;
    /**
     * @param {number} timeout milliseconds
     * @param {() => Backoff} backoff
     */
    constructor(timeout: number, backoff: () => Backoff);
    /**
     * @param {ClientFrame} frame
     * @param {string} key calls of one key replace each other: an older one is not repeated after a newer
     * @param {(ack: AckFrame) => void} [taken] called before the frame behind the ack is looked at
     * @returns {Promise<AckFrame>}
     */
    call(frame: ClientFrame, key: string, taken?: (ack: AckFrame) => void): Promise<AckFrame>;
    /** @param {Socket} socket */
    connected(socket: Socket): void;
    /** @param {string | null} culprit the `ref` of a frame that must not be repeated */
    lost(culprit: string | null): void;
    /**
     * @param {AckFrame | ErrorFrame} frame
     */
    answered(frame: AckFrame | ErrorFrame): void;
    /** @param {ChatError} error */
    end(error: ChatError): void;
}
