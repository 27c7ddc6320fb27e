/** @import { Entry, Message, Uuid } from "./types.js" */

/**
 * An entry of the outbox as the message that it becomes.
 *
 * @param {Entry} entry
 * @param {Uuid | null} userId
 * @param {string} [created]
 * @returns {Message}
 */
export function messageOf({ client_ref, peer_id, message_body, reply_to, meta, file, name = "file", ...entry }, userId, created) {
  const time = created ?? new Date(entry.created).toISOString().replace("Z", "000Z");
  return {
    id: 0,
    thread: 0,
    sender_id: userId ?? "",
    receiver_id: peer_id,
    message: message_body,
    created: time,
    updated: time,
    deleted: false,
    hidden: false,
    reply_to,
    meta,
    dispatched: null,
    attachment: file ? { url: "", name, size: file.size, content_type: file.type } : null,
    client_ref,
    rev: 0,
  };
}
