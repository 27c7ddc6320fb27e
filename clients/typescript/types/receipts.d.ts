/** Marks of what was delivered and seen: one per thread under way, and only the last word goes out. */
import type { AckFrame, Uuid } from "./types.js";
import type { Calls } from "./calls.js";
export type Marks = {
    delivered: number;
    seen: number;
};
/** @typedef {{ delivered: number, seen: number }} Marks */
export declare class Receipts {
    #private;
    calls: Calls;
    delay: number;
    on: {
        onMarked(peerId: Uuid, ack: AckFrame): void;
    };
    /**
     * @param {Calls} calls
     * @param {number} delay milliseconds
     * @param {{ onMarked(peerId: Uuid, ack: AckFrame): void }} on
     */
    constructor(calls: Calls, delay: number, on: {
        onMarked(peerId: Uuid, ack: AckFrame): void;
    });
    /**
     * @param {"delivered" | "seen"} kind
     * @param {Uuid} peerId
     * @param {number} upTo
     */
    mark(kind: "delivered" | "seen", peerId: Uuid, upTo: number): void;
    /** @param {boolean} live */
    connected(live: boolean): void;
    /** What is to be told, for who tells it another way. */
    take(): [string, Marks][];
    end(): void;
}
