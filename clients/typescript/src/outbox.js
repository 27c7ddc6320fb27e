/**
 * What is to be sent. Each entry is written down before its first byte leaves, and repeated until it is acknowledged, seen as
 * an own message, or refused for good. One text per thread is under way, by one user of the store.
 */

/** @import { AckFrame, Entry, ErrorCode, ErrorFrame, Limits, Message, Sent, Store, Uuid } from "./types.js" */
/** @import { Socket } from "./socket.js" */
import { Backoff } from "./backoff.js";
import { ChatError, asChatError, errorOf } from "./errors.js";

/** Texts under way in all: the server reads no further at 256 unanswered. */
const MOST_UNDER_WAY = 64;
/** Settled references that are remembered: the store may still have them. */
const MOST_SETTLED = 1000;

/**
 * @typedef {object} OutboxOptions
 * @property {Store} store
 * @property {number} uploads at a time
 * @property {() => Backoff} backoff
 * @property {(entry: Entry, signal: AbortSignal) => Promise<Message>} upload
 * @property {(entry: Entry, ack: AckFrame) => void} acked to keep the message, and remove the entry from the store
 * @property {(message: Message) => void} uploaded the same
 * @property {(peerId: Uuid | null) => void} changed
 * @property {(entry: Entry, error: ChatError) => void} failed
 * @property {(error: unknown) => void} troubled by the store
 */

export class Outbox {
  /** @type {Map<Uuid, Entry>} */
  entries = new Map();
  /** @type {Limits | null} */
  limits = null;
  /** @type {Map<Uuid, { resolve(sent: Sent): void, reject(error: Error): void }>} */
  #promises = new Map();
  /** @type {Set<Uuid>} */
  #settled = new Set();
  /** @type {Set<Uuid>} */
  #underWay = new Set();
  /** Of threads, by peer, and of uploads. @type {Map<Uuid, { backoff: Backoff, timer?: ReturnType<typeof setTimeout> }>} */
  #waits = new Map();
  /** @type {Map<Uuid, AbortController>} */
  #uploads = new Map();
  /** @type {Socket | null} */
  #socket = null;
  /** @type {AbortController | null} */
  #asked = null;
  /** @type {(() => void) | null} */
  #release = null;
  #ready = false;

  /** @param {OutboxOptions} of */
  constructor(of) {
    this.of = of;
  }

  /** @param {Entry[]} entries */
  load(entries) {
    for (const entry of entries) if (!this.#settled.has(entry.client_ref)) this.entries.set(entry.client_ref, entry);
    this.of.changed(null);
  }

  /**
   * Reads it again: another tab has changed it, or had it.
   */
  async reload() {
    const before = [...this.entries.keys()];
    const stored = await this.of.store.outbox();
    const refs = new Set(stored.map((entry) => entry.client_ref));
    for (const ref of before) if (!refs.has(ref) && !this.#underWay.has(ref)) this.entries.delete(ref);
    this.load(stored);
    this.pump();
  }

  /**
   * Gives the promise of its end once it is written down.
   *
   * @param {Entry} entry
   * @returns {Promise<{ sent: Promise<Sent> }>}
   */
  async add(entry) {
    const seq = await this.of.store.put(entry);
    this.entries.set(entry.client_ref, { ...entry, seq });
    /** @type {Promise<Sent>} */
    const sent = new Promise((resolve, reject) => this.#promises.set(entry.client_ref, { resolve, reject }));
    // Who does not look at it is told by events.
    sent.catch(() => {});
    this.of.changed(entry.peer_id);
    this.pump();
    return { sent };
  }

  /**
   * A refused one again.
   *
   * @param {Uuid} ref
   */
  async retry(ref) {
    const entry = this.entries.get(ref);
    if (!entry?.failed) return false;
    const { failed: _, ...again } = entry;
    await this.#replace(again);
    this.pump();
    return true;
  }

  /**
   * Takes it out. False where it is not there, or under way: then it may be stored any moment.
   *
   * @param {Uuid} ref
   */
  async discard(ref) {
    const entry = this.entries.get(ref);
    if (!entry || this.#underWay.has(ref)) return false;
    this.entries.delete(ref);
    this.#uploads.get(ref)?.abort();
    await this.of.store.remove(ref);
    this.#reject(ref, new ChatError("cancelled", "", { clientRef: ref }));
    this.of.changed(entry.peer_id);
    this.pump();
    return true;
  }

  /** @param {Socket} socket */
  connected(socket) {
    this.#socket = socket;
    this.#underWay.clear();
    this.#acquire();
    this.pump();
  }

  /** @param {string | null} culprit the `ref` of the frame that the server closed for */
  lost(culprit) {
    this.#socket = null;
    this.#underWay.clear();
    const entry = culprit && this.entries.get(culprit);
    if (entry) this.#fail(entry, new ChatError("message_too_large", "the server closed the connection for it"));
    this.#letGo();
  }

  /** Ends the uploads, too. What is written down stays. */
  end() {
    for (const upload of this.#uploads.values()) upload.abort();
    for (const { timer } of this.#waits.values()) clearTimeout(timer);
    this.#waits.clear();
    this.lost(null);
    for (const ref of this.#promises.keys()) this.#reject(ref, new ChatError("closed", "", { clientRef: ref }));
  }

  /** @param {AckFrame | ErrorFrame} frame */
  answered(frame) {
    const ref = (frame.client_ref ?? frame.ref ?? "").toLowerCase();
    const entry = this.entries.get(ref);
    if (!entry || !this.#underWay.delete(ref)) return;
    if (frame.action === "ack") {
      this.of.acked(entry, frame);
      this.settled(ref, { message_id: frame.message_id ?? 0, thread: frame.thread ?? 0, created: frame.created ?? "" });
    } else this.#refused(entry, entry.peer_id, errorOf(frame));
  }

  /**
   * Its message is stored. The first to tell so settles it.
   *
   * @param {Uuid} ref
   * @param {Omit<Sent, "client_ref">} sent
   */
  settled(ref, sent) {
    const entry = this.entries.get(ref);
    this.#settled.add(ref);
    if (this.#settled.size > MOST_SETTLED) for (const old of this.#settled) if (this.#settled.delete(old)) break;
    this.#underWay.delete(ref);
    this.entries.delete(ref);
    this.#promises.get(ref)?.resolve({ client_ref: ref, ...sent });
    this.#promises.delete(ref);
    if (!entry) return false;
    this.#calm(entry.file ? ref : entry.peer_id);
    this.of.changed(entry.peer_id);
    this.pump();
    return true;
  }

  /**
   * Gives up what is older than the server keeps messages.
   *
   * @param {number} before milliseconds since 1970
   */
  giveUp(before) {
    for (const entry of this.entries.values()) {
      if (!entry.failed && entry.created < before) this.#fail(entry, new ChatError("too_late"));
    }
  }

  /** Those of a thread, in their order. @param {Uuid} peerId */
  ofPeer(peerId) {
    return this.#sorted().filter((entry) => entry.peer_id === peerId);
  }

  pump() {
    if (!this.#ready) return;
    /** @type {Set<Uuid>} */
    const threads = new Set();
    for (const entry of this.#sorted()) {
      const { client_ref: ref, peer_id: peer, failed, file } = entry;
      if (failed) continue;
      if (file) this.#upload(entry);
      else if (this.#socket && !threads.has(peer)) {
        threads.add(peer);
        const waits = this.#waits.get(peer)?.timer;
        if (!waits && !this.#underWay.has(ref) && this.#underWay.size < MOST_UNDER_WAY) this.#send(entry);
      }
    }
  }

  #sorted() {
    return [...this.entries.values()].sort((a, b) => a.seq - b.seq);
  }

  /** @param {Entry} entry */
  #send(entry) {
    const { client_ref, peer_id, message_body, reply_to, meta } = entry;
    /** @type {import("./types.js").ChatMessageFrame} */
    const frame = { action: "chat_message", ref: client_ref, message_body, receiver_id: peer_id, client_ref };
    if (reply_to) frame.reply_to = reply_to;
    if (meta) frame.meta = meta;
    // A frame over its limit would close the connection.
    const most = this.limits?.max_frame_bytes;
    if (most && new TextEncoder().encode(JSON.stringify(frame)).length > most) {
      return void this.#fail(entry, new ChatError("message_too_large"));
    }
    this.#underWay.add(client_ref);
    this.#socket?.send(frame);
  }

  /** @param {Entry} entry */
  async #upload(entry) {
    const ref = entry.client_ref;
    if (this.#uploads.has(ref) || this.#uploads.size >= this.of.uploads || this.#waits.get(ref)?.timer) return;
    const abort = new AbortController();
    this.#uploads.set(ref, abort);
    try {
      // From now on it is asked for before it is repeated.
      if (!entry.begun) await this.#replace({ ...entry, begun: true });
      const message = await this.of.upload(entry, abort.signal);
      this.of.uploaded(message);
      this.settled(ref, { message_id: message.id, thread: message.thread, created: message.created });
    } catch (error) {
      if (!abort.signal.aborted && this.entries.has(ref)) this.#refused(entry, ref, asChatError(error));
    } finally {
      this.#uploads.delete(ref);
      if (this.#socket) this.pump();
      else this.#letGo();
    }
  }

  /**
   * @param {Entry} entry
   * @param {Uuid} lane the thread's peer, or the upload
   * @param {ChatError} error
   */
  #refused(entry, lane, error) {
    if (error.transient || error.code === "invalid_token") return this.#later(lane, error.retryAfter);
    // What it answers is gone.
    if (error.code === "not_found" && entry.reply_to) {
      this.#replace({ ...entry, reply_to: null }).then(() => this.pump(), this.of.troubled);
    } else this.#fail(entry, error);
  }

  /**
   * @param {Uuid} lane
   * @param {number | null} wait milliseconds
   */
  #later(lane, wait) {
    const held = this.#waits.get(lane) ?? { backoff: this.of.backoff() };
    clearTimeout(held.timer);
    held.timer = setTimeout(() => {
      held.timer = undefined;
      this.pump();
    }, wait ?? held.backoff.next());
    this.#waits.set(lane, held);
  }

  /** @param {Uuid} lane */
  #calm(lane) {
    clearTimeout(this.#waits.get(lane)?.timer);
    this.#waits.delete(lane);
  }

  /**
   * @param {Entry} entry
   * @param {ChatError} error
   */
  #fail(entry, error) {
    error.clientRef = entry.client_ref;
    this.#replace({ ...entry, failed: /** @type {ErrorCode} */ (error.code) }).catch(this.of.troubled);
    this.#reject(entry.client_ref, error);
    this.of.failed(entry, error);
    this.pump();
  }

  /** @param {Entry} entry */
  async #replace(entry) {
    this.entries.set(entry.client_ref, entry);
    this.of.changed(entry.peer_id);
    await this.of.store.put(entry);
  }

  /**
   * @param {Uuid} ref
   * @param {ChatError} error
   */
  #reject(ref, error) {
    this.#promises.get(ref)?.reject(error);
    this.#promises.delete(ref);
  }

  /** Waits until no other tab has the outbox. */
  async #acquire() {
    if (this.#release || this.#asked) return;
    const asked = (this.#asked = new AbortController());
    try {
      const release = (await this.of.store.lock?.(asked.signal)) ?? (() => {});
      if (asked.signal.aborted) return release();
      this.#release = release;
      await this.reload();
      this.#ready = !asked.signal.aborted;
      this.pump();
    } catch (error) {
      if (asked.signal.aborted) return;
      this.of.troubled(error);
      // Without a store that can be read, what this tab has.
      this.#ready = this.#release !== null;
    } finally {
      if (this.#asked === asked) this.#asked = null;
    }
  }

  /** Lets another tab have it, when no upload is under way any more. */
  #letGo() {
    this.#asked?.abort();
    this.#asked = null;
    if (this.#socket || this.#uploads.size) return;
    this.#ready = false;
    this.#release?.();
    this.#release = null;
  }
}
