/** Who is typing. The user's own is repeated while it goes on; a peer's ends by itself. */
import type { ClientFrame, Timing, Uuid } from "./types.js";
import type { Emitter } from "./emitter.js";
export type Timer = ReturnType<typeof setTimeout>;
/** @import { ClientFrame, Timing, Uuid } from "./types.js" */
/** @import { Emitter } from "./emitter.js" */
/** @typedef {ReturnType<typeof setTimeout>} Timer */
export declare class Typing {
    #private;
    timing: Timing;
    connection: {
        send(frame: ClientFrame): unknown;
    };
    emitter: Emitter;
    /**
     * @param {Timing} timing
     * @param {{ send(frame: ClientFrame): unknown }} connection
     * @param {Emitter} emitter
     */
    constructor(timing: Timing, connection: {
        send(frame: ClientFrame): unknown;
    }, emitter: Emitter);
    /**
     * Call it at each key: it says no more than has to be said.
     *
     * @param {Uuid} peerId
     * @param {boolean} typing
     */
    set(peerId: Uuid, typing: boolean): void;
    /** A message ends it at the peer's. @param {Uuid} peerId */
    sent(peerId: Uuid): void;
    /**
     * @param {Uuid} peerId
     * @param {boolean} typing
     */
    told(peerId: Uuid, typing: boolean): void;
    end(): void;
}
