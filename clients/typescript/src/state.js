/** What is held, in memory: threads with their messages, and what is unread. Objects in it are never changed, but replaced. */

/** @import { HeldThread, Message, Range, ShownThread, Stored, ThreadState, Uuid } from "./types.js" */
import { joined, newerMessage, newerThread } from "./held.js";

/** 1000 stands for more, too. */
const MOST = 1000;

/** @param {Map<number, Set<number>>} byThread @param {number} thread */
function idsOf(byThread, thread) {
  const ids = byThread.get(thread) ?? new Set();
  byThread.set(thread, ids);
  return ids;
}

export class State {
  /** @type {Map<number, HeldThread>} */
  threads = new Map();
  /** @type {Map<number, Message>} */
  messages = new Map();
  /** Thread ids by peer. @type {Map<Uuid, number>} */
  #peers = new Map();
  /** Message ids by thread. @type {Map<number, Set<number>>} */
  #ids = new Map();
  /** Those above the `last_id` of the thread's state. @type {Map<number, Set<number>>} */
  #above = new Map();
  /** @type {Map<number, number>} */
  #from = new Map();
  /** Marks that the server does not know yet. @type {Map<Uuid, number>} */
  #seen = new Map();

  /** @param {boolean} [isOther] what comes is another history, in which the same ids are other messages */
  clear(isOther) {
    for (const held of [this.threads, this.messages, this.#peers, this.#ids, this.#above, this.#from]) held.clear();
    if (isOther) this.#seen.clear();
  }

  /** @param {Pick<Stored, "threads" | "messages" | "ranges">} stored */
  load({ threads, messages, ranges }) {
    this.clear();
    for (const { thread, from } of ranges) this.#from.set(thread, from);
    for (const thread of threads) this.thread(thread);
    for (const message of messages) this.message(message);
  }

  /**
   * Gives the thread as it is then held, or null where what came is old.
   *
   * @param {ThreadState & Partial<HeldThread>} next
   */
  thread(next) {
    const held = this.threads.get(next.id);
    const merged = newerThread(held, next);
    if (merged === held) return null;
    this.threads.set(merged.id, merged);
    this.#peers.set(merged.peer_id, merged.id);
    if (merged.last_id !== held?.last_id) {
      const above = [...idsOf(this.#ids, merged.id)].filter((id) => id > merged.last_id);
      this.#above.set(merged.id, new Set(above));
    }
    return merged;
  }

  /** Gives whether it is newer than what is held. @param {Message} next */
  message(next) {
    const held = this.messages.get(next.id);
    if (newerMessage(held, next) === held) return false;
    this.messages.set(next.id, next);
    idsOf(this.#ids, next.thread).add(next.id);
    const last = this.threads.get(next.thread)?.last_id ?? 0;
    if (next.id > last) idsOf(this.#above, next.thread).add(next.id);
    return true;
  }

  /** @param {Range} range */
  range(range) {
    this.#from.set(range.thread, joined(this.#from.get(range.thread), range));
  }

  /** @param {number} id */
  remove(id) {
    const message = this.messages.get(id);
    this.messages.delete(id);
    if (message) for (const ids of [this.#ids, this.#above]) ids.get(message.thread)?.delete(id);
  }

  /** From which message on the thread is held without a hole. @param {number} thread */
  from(thread) {
    return this.#from.get(thread);
  }

  /** @param {Uuid} peerId */
  withPeer(peerId) {
    return this.threads.get(this.#peers.get(peerId) ?? 0);
  }

  /** The messages of a thread that are to be shown, by id. @param {number} thread */
  shown(thread) {
    const from = this.#from.get(thread) ?? 0;
    const ids = [...idsOf(this.#ids, thread)].filter((id) => id >= from).sort((a, b) => a - b);
    return this.#messagesOf(ids).filter((message) => !message.hidden);
  }

  /**
   * @param {HeldThread} thread
   * @returns {ShownThread}
   */
  show(thread) {
    const last_id = Math.max(thread.last_id, ...idsOf(this.#above, thread.id));
    let last_message = null;
    for (const id of idsOf(this.#ids, thread.id)) {
      const message = this.messages.get(id);
      if (message && !message.hidden && id > (last_message?.id ?? 0)) last_message = message;
    }
    return { ...thread, last_id, unread: this.unread(thread), last_message };
  }

  /** The greatest id first. */
  showAll() {
    return [...this.threads.values()].map((thread) => this.show(thread)).sort((a, b) => b.last_id - a.last_id);
  }

  /**
   * A mark that is on its way to the server. Gives whether it says more than the last.
   *
   * @param {Uuid} peerId
   * @param {number} upTo
   */
  marked(peerId, upTo) {
    if (upTo <= (this.#seen.get(peerId) ?? 0)) return false;
    this.#seen.set(peerId, upTo);
    return true;
  }

  /**
   * What the newest state says, and the messages of the peer above its `last_id`. Counted each time: frames come out of order,
   * and again.
   *
   * @param {HeldThread} thread
   */
  unread(thread) {
    const seen = this.#seen.get(thread.peer_id) ?? 0;
    const counts = this.#messagesOf(idsOf(this.#above, thread.id)).filter(
      ({ id, sender_id, deleted, hidden }) => id > seen && sender_id === thread.peer_id && !deleted && !hidden,
    );
    return Math.min(MOST, (seen >= thread.last_id ? 0 : thread.unread) + counts.length);
  }

  /** Of all threads that are held and not blocked. */
  unreadTotal() {
    let total = 0;
    for (const thread of this.threads.values()) if (!thread.blocked) total += this.unread(thread);
    return Math.min(MOST, total);
  }

  /** @param {Iterable<number>} ids */
  #messagesOf(ids) {
    return [...ids].flatMap((id) => this.messages.get(id) ?? []);
  }
}
