/** Which of two copies counts, and how far back a thread is held. In memory and in every store. */
import type { HeldThread, Message, Range, ThreadState, Uuid } from "./types.js";
/** @import { HeldThread, Message, Range, ThreadState, Uuid } from "./types.js" */
/**
 * An object with a smaller `rev` than the one held is old. Of equal ones the later answer counts.
 *
 * @param {Message | undefined} held
 * @param {Message} next
 */
export declare const newerMessage: (held: Message | undefined, next: Message) => Message;
/**
 * @param {HeldThread | undefined} held
 * @param {ThreadState & Partial<HeldThread>} next
 * @returns {HeldThread}
 */
export declare function newerThread(held: HeldThread | undefined, next: ThreadState & Partial<HeldThread>): HeldThread;
/**
 * A thread of which only a message is known so far.
 *
 * @param {number} id
 * @param {Uuid} peerId
 * @returns {HeldThread}
 */
export declare const unknownThread: (id: number, peerId: Uuid) => HeldThread;
/**
 * From where on a thread is held without a hole, when `range` is added to what is held from `from` on.
 *
 * @param {number | undefined} from
 * @param {Range} range
 */
export declare const joined: (from: number | undefined, range: Range) => number;
