/**
 * What is to be sent. Each entry is written down before its first byte leaves, and repeated until it is acknowledged, seen as
 * an own message, or refused for good. One text per thread is under way, by one user of the store.
 */

/** @import { AckFrame, ChatMessageFrame, Entry, ErrorCode, Message, Sending, Sent, Store, Uuid } from "./types.js" */
/** @import { Calls } from "./calls.js" */
/** @import { Backoff } from "./backoff.js" */
/** @import { Emitter } from "./emitter.js" */
import { ChatError, asChatError } from "./errors.js";

/** Texts under way in all: the server reads no further at 256 unanswered. */
const MOST_UNDER_WAY = 64;
/** Settled references that are remembered: the store may still have them. */
const MOST_SETTLED = 1000;

/**
 * @typedef {object} OutboxEvents
 * @property {Backoff} backoff
 * @property {(entry: Entry, signal: AbortSignal) => Promise<Message>} onUpload
 * @property {(entry: Entry, ack: AckFrame) => void} onAcked to keep the message, and settle it
 * @property {(message: Message) => void} onUploaded the same
 * @property {(error: unknown) => void} troubled
 */

export class Outbox {
  /** @type {Map<Uuid, Entry>} */
  entries = new Map();
  /** @type {Map<Uuid, { resolve(sent: Sent): void, reject(error: Error): void }>} */
  #promises = new Map();
  /** @type {Set<Uuid>} */
  #settled = new Set();
  /** Texts that are `calls`. @type {Set<Uuid>} */
  #underWay = new Set();
  /** @type {Map<Uuid, AbortController>} */
  #uploads = new Map();
  /** Uploads that were refused for now. @type {Map<Uuid, { wait: () => number, timer?: ReturnType<typeof setTimeout> }>} */
  #waits = new Map();
  #connected = false;
  /** @type {AbortController | null} */
  #asked = null;
  /** @type {(() => void) | null} */
  #release = null;

  /**
   * @param {Store} store
   * @param {Calls} calls
   * @param {Emitter} emitter
   * @param {number} most uploads at a time
   * @param {OutboxEvents} on
   */
  constructor(store, calls, emitter, most, on) {
    this.store = store;
    this.calls = calls;
    this.emitter = emitter;
    this.most = most;
    this.on = on;
  }

  /** @param {Entry[]} entries */
  load(entries) {
    for (const entry of entries) if (!this.#settled.has(entry.client_ref)) this.entries.set(entry.client_ref, entry);
    this.#changed();
  }

  /** Reads it again: another tab has changed it, or had it. */
  async reload() {
    const gone = new Set(this.entries.keys());
    const stored = await this.store.outbox();
    for (const entry of stored) gone.delete(entry.client_ref);
    for (const ref of gone) if (!this.#underWay.has(ref)) this.entries.delete(ref);
    this.load(stored);
    this.pump();
  }

  /**
   * Gives the promise of its end once it is written down.
   *
   * @param {Entry} entry
   * @returns {Promise<Sending>}
   */
  async add(entry) {
    const ref = entry.client_ref;
    this.#settled.delete(ref);
    /** @type {Promise<Sent>} */
    const sent = new Promise((resolve, reject) => this.#promises.set(ref, { resolve, reject }));
    // Who does not look at it is told by events.
    sent.catch(() => {});
    const seq = await this.store.put(entry);
    // Another tab may have sent it before this one knows that it is written down.
    if (!this.#settled.has(ref)) this.entries.set(ref, { ...entry, seq });
    this.#changed(entry.peer_id);
    this.pump();
    return { clientRef: ref, sent };
  }

  /** A refused one again. @param {Uuid} ref */
  async retry(ref) {
    const entry = this.entries.get(ref);
    if (!entry?.failed) return false;
    await this.#replace({ ...entry, failed: undefined });
    return true;
  }

  /**
   * Takes it out. False where it is not there, or under way: then it may be stored any moment.
   *
   * @param {Uuid} ref
   */
  async discard(ref) {
    const entry = this.entries.get(ref);
    if (!entry || (this.#underWay.has(ref) && !this.calls.waits(ref))) return false;
    this.#forget(ref);
    this.#uploads.get(ref)?.abort();
    await this.store.remove(ref);
    this.#reject(ref, new ChatError("cancelled"));
    this.#changed(entry.peer_id);
    this.pump();
    return true;
  }

  connected() {
    this.#connected = true;
    this.#acquire();
    this.pump();
  }

  lost() {
    this.#connected = false;
    // When this client has the outbox again, they are sent again.
    for (const ref of this.#underWay) this.calls.forget(ref);
    this.#underWay.clear();
    this.#letGo();
  }

  /** Ends the uploads, too. What is written down stays. */
  end() {
    for (const upload of this.#uploads.values()) upload.abort();
    for (const { timer } of this.#waits.values()) clearTimeout(timer);
    this.#waits.clear();
    this.lost();
    for (const ref of this.#promises.keys()) this.#reject(ref, new ChatError("closed"));
  }

  /** A message is stored. The first to tell so settles it. @param {Message} message */
  settled({ client_ref, id, thread, created }) {
    const ref = client_ref ?? "";
    const sent = { client_ref: ref, message_id: id, thread, created };
    const entry = this.entries.get(ref);
    this.#settled.add(ref);
    const [oldest] = this.#settled;
    if (this.#settled.size > MOST_SETTLED) this.#settled.delete(oldest);
    this.#forget(ref);
    this.#promises.get(ref)?.resolve(sent);
    this.#promises.delete(ref);
    if (!entry) return;
    this.emitter.emit("sent", sent);
    this.#changed(entry.peer_id);
    this.pump();
  }

  /** Gives up what is older than the server keeps messages. @param {number} before milliseconds since 1970 */
  giveUp(before) {
    for (const entry of this.entries.values()) {
      if (entry.created < before && !entry.failed) this.#fail(entry, new ChatError("too_late"));
    }
  }

  /** Those of a thread, in their order. @param {Uuid} peerId */
  ofPeer(peerId) {
    return this.#sorted().filter((entry) => entry.peer_id === peerId);
  }

  pump() {
    // It is this client's, and was read since.
    if (!this.#release || this.#asked) return;
    /** @type {Set<Uuid>} */
    const threads = new Set();
    for (const entry of this.#sorted()) {
      const { client_ref: ref, peer_id: peer, failed, file } = entry;
      if (failed) continue;
      if (file) this.#upload(entry);
      else if (this.#connected && !threads.has(peer)) {
        threads.add(peer);
        if (!this.#underWay.has(ref) && this.#underWay.size < MOST_UNDER_WAY) this.#send(entry);
      }
    }
  }

  #sorted() {
    return [...this.entries.values()].sort((a, b) => a.seq - b.seq);
  }

  /** @param {Uuid | null} [peer_id] */
  #changed(peer_id = null) {
    this.emitter.emit("outbox", { peer_id });
  }

  /** @param {Entry} entry */
  async #send(entry) {
    const { client_ref, peer_id, message_body, reply_to, meta } = entry;
    /** @type {ChatMessageFrame} */
    const frame = { action: "chat_message", message_body, receiver_id: peer_id, client_ref };
    if (reply_to) frame.reply_to = reply_to;
    if (meta) frame.meta = meta;
    this.#underWay.add(client_ref);
    try {
      await this.calls.call(frame, client_ref, (ack) => this.on.onAcked(entry, ack), 0);
    } catch (error) {
      this.#underWay.delete(client_ref);
      this.#refused(entry, asChatError(error));
    }
  }

  /** @param {Entry} entry */
  async #upload(entry) {
    const ref = entry.client_ref;
    if (this.#uploads.has(ref) || this.#uploads.size >= this.most || this.#waits.get(ref)?.timer) return;
    const abort = new AbortController();
    this.#uploads.set(ref, abort);
    try {
      // From now on it is asked for before it is repeated.
      if (!entry.begun) await this.#replace({ ...entry, begun: true });
      this.on.onUploaded(await this.on.onUpload(entry, abort.signal));
    } catch (error) {
      const failed = asChatError(error);
      if (abort.signal.aborted) return;
      if (!failed.transient) return this.#refused(entry, failed);
      const held = this.#waits.get(ref) ?? { wait: this.on.backoff() };
      held.timer = setTimeout(() => {
        held.timer = undefined;
        this.pump();
      }, failed.retryAfter ?? held.wait());
      this.#waits.set(ref, held);
    } finally {
      this.#uploads.delete(ref);
      if (this.#connected) this.pump();
      else this.#letGo();
    }
  }

  /** @param {Entry} entry @param {ChatError} error */
  #refused(entry, error) {
    const held = this.entries.get(entry.client_ref);
    // Without a token the connection ends, and it is sent over the next.
    if (!held || error.code === "invalid_token") return;
    if (error.code !== "not_found" || !entry.reply_to) return this.#fail(held, error);
    // What it answers is gone.
    this.#replace({ ...held, reply_to: null }).catch(this.on.troubled);
  }

  /** @param {Entry} entry @param {ChatError} error */
  #fail(entry, error) {
    const { client_ref, peer_id } = entry;
    this.#replace({ ...entry, failed: /** @type {ErrorCode} */ (error.code) }).catch(this.on.troubled);
    this.#reject(client_ref, error);
    this.emitter.emit("failed", { client_ref, peer_id, error });
    this.pump();
  }

  /** @param {Entry} entry */
  async #replace(entry) {
    this.entries.set(entry.client_ref, entry);
    this.#changed(entry.peer_id);
    await this.store.put(entry);
    this.pump();
  }

  /** @param {Uuid} ref */
  #forget(ref) {
    this.entries.delete(ref);
    this.#underWay.delete(ref);
    this.calls.forget(ref);
    clearTimeout(this.#waits.get(ref)?.timer);
    this.#waits.delete(ref);
  }

  /** @param {Uuid} ref @param {ChatError} error */
  #reject(ref, error) {
    error.clientRef = ref;
    this.#promises.get(ref)?.reject(error);
    this.#promises.delete(ref);
  }

  /** Waits until no other tab has the outbox. */
  async #acquire() {
    if (this.#release || this.#asked) return;
    const { signal } = (this.#asked = new AbortController());
    try {
      const release = (await this.store.lock?.(signal)) ?? (() => {});
      if (signal.aborted) return release();
      this.#release = release;
      await this.reload();
    } catch (error) {
      // Without a store that can be read, what this tab has.
      if (!signal.aborted) this.on.troubled(error);
    }
    if (signal.aborted) return;
    this.#asked = null;
    this.pump();
  }

  /** Lets another tab have it, when no upload is under way any more. */
  #letGo() {
    this.#asked?.abort();
    this.#asked = null;
    if (this.#connected || this.#uploads.size) return;
    this.#release?.();
    this.#release = null;
  }
}
