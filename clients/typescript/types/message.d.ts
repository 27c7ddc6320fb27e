/** @import { Entry, Message, Uuid } from "./types.js" */
import type { Entry, Message, Uuid } from "./types.js";
/**
 * An entry of the outbox as the message that it becomes.
 *
 * @param {Entry} entry
 * @param {Uuid | null} userId
 * @param {string} [created]
 * @returns {Message}
 */
export declare function messageOf({ client_ref, peer_id, message_body, reply_to, meta, file, name, ...entry }: Entry, userId: Uuid | null, created?: string): Message;
