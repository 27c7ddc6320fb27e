/** Which of two copies counts, and how far back a thread is held. In memory and in every store. */

/** @import { HeldThread, Message, Range, ThreadState, Uuid } from "./types.js" */

/**
 * An object with a smaller `rev` than the one held is old. Of equal ones the later answer counts.
 *
 * @param {Message | undefined} held
 * @param {Message} next
 */
export const newerMessage = (held, next) => (held && held.rev > next.rev ? held : next);

const OWN = /** @type {const} */ (["seen_id", "delivered_id"]);
const ALL = /** @type {const} */ ([...OWN, "peer_seen_id", "peer_delivered_id"]);

/**
 * @param {HeldThread | undefined} held
 * @param {ThreadState & Partial<HeldThread>} next
 * @returns {HeldThread}
 */
export function newerThread(held, next) {
  const old = held && held.rev > next.rev ? held : null;
  // Who the peer is does not change with it.
  if (old && (old.peer || !next.peer)) return old;
  const merged = { ...held, ...next, ...old, peer: next.peer ?? held?.peer ?? null };
  merged.created ??= next.created ?? held?.created ?? null;
  // The user's own never go back, and of states of one place of the feed none does. (After a block a peer's may.)
  if (held) for (const mark of held.rev === next.rev ? ALL : OWN) merged[mark] = Math.max(held[mark], next[mark]);
  return /** @type {HeldThread} */ (merged);
}

/**
 * A thread of which only a message is known so far.
 *
 * @param {number} id
 * @param {Uuid} peerId
 * @returns {HeldThread}
 */
export const unknownThread = (id, peerId) => ({
  id,
  peer_id: peerId,
  last_id: 0,
  unread: 0,
  seen_id: 0,
  delivered_id: 0,
  peer_seen_id: 0,
  peer_delivered_id: 0,
  blocked: false,
  rev: 0,
  peer: null,
  created: null,
});

/**
 * From where on a thread is held without a hole, when `range` is added to what is held from `from` on.
 *
 * @param {number | undefined} from
 * @param {Range} range
 */
export const joined = (from, range) =>
  from === undefined ? range.from : from <= range.before ? Math.min(from, range.from) : from;
