/** What the server tells, by frames and answers, into the state: upserts, snapshots, and reads of what is missing. */

/** @import { Message, MessageFrame, MessagePage, Reset, Thread, ThreadPage, ThreadState, Uuid } from "./types.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Emitter } from "./emitter.js" */
/** @import { Keeper } from "./keeper.js" */
/** @import { Outbox } from "./outbox.js" */
/** @import { Query, Rest } from "./rest.js" */
import { ChatError, asChatError } from "./errors.js";
import { unknownThread } from "./held.js";

/** Items of a page: the most that the server gives. */
const PAGE = 200;
/** Frames that wait for a snapshot. A connection with more is given up. */
const MOST_WAITING = 20_000;

/**
 * @typedef {object} SyncEvents
 * @property {(message: Message) => void} onArrived one that is here now
 * @property {(peerId: Uuid) => void} onThread it came, or changed
 * @property {Outbox} outbox
 * @property {Connection} connection
 * @property {(error: unknown) => void} troubled
 */

export class Sync {
  /** The sum that the server told last. */
  total = 0;
  /** Counts snapshots: an answer from before one must not meet what is after it. */
  #era = 0;
  /** @type {MessageFrame[] | null} */
  #waiting = null;
  /** @type {Promise<void>} */
  replacing = Promise.resolve();
  /** Peers whose threads have to be read. @type {Set<Uuid>} */
  #unread = new Set();
  #reading = false;

  /**
   * @param {Keeper} keeper
   * @param {Rest} rest
   * @param {Emitter} emitter
   * @param {SyncEvents} on
   */
  constructor(keeper, rest, emitter, on) {
    this.keeper = keeper;
    this.rest = rest;
    this.emitter = emitter;
    this.on = on;
  }

  /** What was not read yet when the store was left, and what another tab has sent. */
  loaded() {
    for (const { peer, peer_id } of this.keeper.threads.values()) if (!peer) this.#unread.add(peer_id);
    for (const message of this.keeper.messages.values()) {
      if (this.on.outbox.entries.has(message.client_ref ?? "")) this.on.outbox.settled(message);
    }
  }

  /** All that was missed is through. @param {string} cursor */
  live(cursor) {
    if (this.#waiting) return;
    this.keeper.set({ cursor });
    this.catchUp();
  }

  /** @param {any} frame a `message` or `thread`; of a page without a cursor */
  change(frame) {
    if (this.#waiting) {
      if (this.#waiting.push(frame) > MOST_WAITING) this.on.connection.drop();
      return;
    }
    if (frame.action === "message") this.#message(frame);
    else this.#thread(frame.thread);
    if (frame.cursor) this.keeper.set({ cursor: frame.cursor });
  }

  /** Upserts what any answer has. @param {Message} message */
  take(message) {
    const applied = this.keeper.message(message);
    if (message.client_ref) this.on.outbox.settled(message);
    return applied;
  }

  /** @param {Pick<MessageFrame, "message" | "new" | "cursor">} frame */
  #message({ message, new: isNew, cursor }) {
    const { id, thread, sender_id, attachment, deleted, hidden } = message;
    const held = this.keeper.messages.has(id);
    // Before the first `hello`, an own one is known by its reference.
    const own = sender_id === this.keeper.user_id || message.client_ref !== null;
    const peerId = own ? message.receiver_id : sender_id;
    this.#know(message, peerId);
    const applied = this.take(message);
    const from = this.keeper.from(thread);
    // All that is behind a text that is new is new, too, and comes, from its cursor on. A file may be dispatched late.
    if (isNew && !attachment && (from === undefined || (cursor && id < from))) {
      this.keeper.range({ thread, from: id, before: from ?? id });
    }
    if (!applied) return;
    const isFirst = isNew && !held;
    this.emitter.emit("message", { message, ring: isFirst && !own && !deleted && !hidden });
    if (isFirst) this.on.onArrived(message);
    this.on.onThread(peerId);
  }

  /** @param {ThreadState} thread */
  #thread(thread) {
    const held = this.keeper.thread(thread);
    if (!held) return;
    if (!held.peer) this.#read(held.peer_id);
    this.on.onThread(held.peer_id);
  }

  /** @param {Thread} thread as REST gives it */
  takeThread({ last_message, ...thread }) {
    this.keeper.thread(thread);
    if (last_message) {
      this.take(last_message);
      this.on.onArrived(last_message);
    }
    this.keeper.range({ thread: thread.id, from: last_message?.id ?? thread.last_id + 1, before: Infinity });
    this.on.onThread(thread.peer_id);
  }

  /** @param {ThreadPage} page */
  #takeThreads({ threads, next, unread_total }) {
    this.total = unread_total;
    this.keeper.set({ next });
    for (const thread of threads) this.takeThread(thread);
  }

  /**
   * Replaces everything by what the server has. What comes meanwhile waits.
   *
   * @param {Reset | "behind" | "new"} reset
   */
  snapshot(reset) {
    const { keeper } = this;
    this.#waiting = [];
    const replacing = async () => {
      try {
        // The cursor is read first: the page may be newer than it, never older.
        const page = await this.rest.get("/v2/sync", { limit: PAGE });
        this.#era++;
        this.#unread.clear();
        await keeper.reset(reset !== "behind", () => {
          if (keeper.user_id) keeper.set({ user_id: keeper.user_id });
          this.#takeThreads(page);
          keeper.set({ cursor: page.cursor });
        });
        const waiting = this.#waiting ?? [];
        this.#waiting = null;
        this.emitter.emit("reset", { reset });
        for (const frame of waiting) this.change(frame);
        this.catchUp();
      } catch (error) {
        // What waits is dropped with the connection: the cursor that is held is still no good.
        this.on.connection.drop();
        this.#waiting = null;
        throw error;
      }
    };
    const replaced = replacing();
    this.replacing = replaced.catch(() => {});
    return replaced;
  }

  /** Reads what is missing: threads of which only a message is held, and the rest of the list. */
  async catchUp() {
    if (this.#reading) return;
    this.#reading = true;
    try {
      for (;;) {
        const [peerId] = this.#unread;
        if (peerId) await this.#readThread(peerId);
        else if (this.keeper.next !== null) await this.#readThreads(this.keeper.next);
        else return;
      }
    } catch (error) {
      // With the next `live`.
      if (asChatError(error).code !== "superseded") this.on.troubled(error);
    } finally {
      this.#reading = false;
    }
  }

  /** @param {Uuid} peerId */
  async #readThread(peerId) {
    try {
      this.takeThread(await this.#answer(`/v2/threads/${peerId}`));
    } catch (error) {
      if (asChatError(error).code !== "not_found") throw error;
    }
    this.#unread.delete(peerId);
  }

  /** @param {string} next empty: from the first */
  async #readThreads(next) {
    try {
      const page = await this.#answer("/v2/threads", { next: next || undefined, limit: PAGE });
      this.#takeThreads(page);
    } catch (error) {
      if (!next || asChatError(error).code !== "invalid_field") throw error;
      this.keeper.set({ next: "" });
    }
  }

  /** Makes sure that there is a thread for a message. @param {Message} message @param {Uuid} peerId */
  #know({ thread }, peerId) {
    if (this.keeper.threads.has(thread)) return;
    this.keeper.thread(unknownThread(thread, peerId));
    this.#read(peerId);
  }

  /** @param {Uuid} peerId */
  #read(peerId) {
    this.#unread.add(peerId);
    queueMicrotask(() => this.catchUp());
  }

  /** An older page of a thread. Gives whether there are more. @param {Uuid} peerId @param {number} limit */
  async history(peerId, limit) {
    const held = this.keeper.withPeer(peerId);
    const from = held && this.keeper.from(held.id);
    if (from === 0) return false;
    /** @type {MessagePage} */
    const { messages, next } = await this.#answer(`/v2/threads/${peerId}/messages`, { before: from, limit });
    const more = next !== null;
    for (const message of messages) {
      this.#know(message, peerId);
      this.take(message);
    }
    const thread = held?.id ?? messages[0]?.thread;
    if (thread === undefined || (!messages.length && more)) return more;
    const oldest = Math.min(...messages.map(({ id }) => id));
    this.keeper.range({ thread, from: more ? oldest : 0, before: from ?? Infinity });
    this.on.onThread(peerId);
    return more;
  }

  /**
   * All changes since the cursor, without a socket.
   */
  async pull() {
    let changes = 0;
    if (!this.keeper.cursor) await this.snapshot("new");
    for (let more = true; more; ) {
      try {
        const page = await this.#answer("/v2/sync", { after: this.keeper.cursor, limit: PAGE });
        for (const change of page.changes) this.change(change);
        this.keeper.set({ cursor: page.cursor });
        this.total = page.unread_total;
        ({ more } = page);
        changes += page.changes.length;
      } catch (error) {
        const { code, reset } = asChatError(error);
        if (code !== "reset") throw error;
        await this.snapshot(reset ?? "unknown");
      }
    }
    await this.catchUp();
    await this.keeper.flush();
    return changes;
  }

  /** Reads a message again. It is removed where it is not visible any more. @param {number} id */
  async message(id) {
    try {
      const message = await this.#answer(`/v2/messages/${id}`);
      if (this.take(message)) this.emitter.emit("message", { message, ring: false });
    } catch (error) {
      if (asChatError(error).code === "not_found") this.keeper.remove(id);
    }
  }

  /** @param {string} path @param {Query} [query] */
  async #answer(path, query) {
    const era = this.#era;
    const answer = await this.rest.get(path, query);
    if (era !== this.#era) throw new ChatError("superseded");
    return answer;
  }
}
