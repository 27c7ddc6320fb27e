/** The parts of a client, and what they tell each other. */

/** @import { AckFrame, Entry, HelloFrame, Limits, LiveFrame, Message, Options, ServerFrame, State, Store, StopReason, Uuid } from "./types.js" */
import { growing } from "./backoff.js";
import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { ChatError } from "./errors.js";
import { Handshake } from "./handshake.js";
import { Keeper } from "./keeper.js";
import { messageOf } from "./message.js";
import { Outbox } from "./outbox.js";
import { watchPlatform } from "./platform.js";
import { Receipts } from "./receipts.js";
import { Rest } from "./rest.js";
import { MemoryStore } from "./store/memory.js";
import { Sync } from "./sync.js";
import { TIMING } from "./timing.js";
import { Typing } from "./typing.js";
import { upload } from "./uploads.js";

export class Engine {
  emitter = new Emitter();
  /** @type {Limits | null} */
  limits = null;
  /** The clock of the server, less this one's. Milliseconds. */
  offset = 0;
  /** @type {Promise<void> | null} */
  #loaded = null;
  /** Behind so far that a snapshot is shorter. */
  #far = false;
  /** @type {Uuid[] | null} */
  #watched = null;
  #total = -1;
  #totalDue = false;
  /** @type {((() => void) | undefined)[]} */
  #unwatch = [];

  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    const { random = Math.random, fetch = globalThis.fetch, XMLHttpRequest = globalThis.XMLHttpRequest } = options;
    const { emitter } = this;
    const timing = { ...TIMING, ...options.timing };
    /** What nobody waits for has failed. What may succeed later is tried again by itself. @param {unknown} error */
    this.troubled = (error) => {
      if (!(error instanceof ChatError && error.transient)) emitter.emit("error", { error });
    };
    this.backoff = () => growing(timing.backoffBase, timing.backoffMax, random);
    this.rest = new Rest(options, fetch, timing.request);
    this.handshake = new Handshake(options, this.rest);
    this.XMLHttpRequest = XMLHttpRequest;
    /** @type {Store} */
    this.store = options.store ?? new MemoryStore();
    this.keeper = new Keeper(this.store, timing.store, this);
    this.sync = new Sync(this.keeper, this.rest, emitter, this);
    const WebSocket = options.WebSocket ?? /** @type {any} */ (globalThis.WebSocket);
    this.connection = new Connection(WebSocket, timing, random, this.backoff, this);
    this.calls = new Calls(timing.request, this.backoff, this.connection);
    this.receipts = new Receipts(this.calls, this.connection, timing.receipts, this);
    this.typing = new Typing(timing, this.connection, emitter);
    this.outbox = new Outbox(this.store, this.calls, emitter, options.uploads ?? 2, this);
  }

  start() {
    this.#ignore();
    const { store } = this;
    this.#unwatch = [
      watchPlatform(() => this.connection.wake()),
      store.watch?.(() => this.outbox.reload().catch(this.troubled)),
    ];
    this.connection.start();
  }

  load() {
    return (this.#loaded ??= this.#load().catch((error) => {
      this.#loaded = null;
      this.troubled(error);
      throw error;
    }));
  }

  async #load() {
    this.outbox.load(await this.keeper.open(this.options.keep ?? 200));
    this.sync.loaded();
  }

  /** @param {boolean} clear removes what is held of the user, too */
  async close(clear) {
    this.connection.stop("closed");
    if (clear) await this.#clear();
    else {
      this.#end();
      await this.keeper.flush();
      this.keeper.stop();
    }
    this.store.close?.();
    this.emitter.end();
  }

  get unreadTotal() {
    return this.keeper.next === null ? this.keeper.unreadTotal() : this.sync.total;
  }

  /** @param {Uuid[] | null} peerIds */
  watch(peerIds) {
    this.#watched = peerIds;
    if (!peerIds || !this.connection.serves) return;
    this.calls
      .call({ action: "presence_watch", peer_ids: peerIds }, "watch", ({ states = [] }) => {
        for (const state of states) this.emitter.emit("presence", state);
      })
      .catch(this.troubled);
  }

  /** Without a socket: all changes, and that they were delivered. */
  async pull() {
    await this.load();
    const changes = await this.sync.pull();
    if (this.connection.serves) return changes;
    for (const { peerId, kind, upTo } of this.receipts.take()) {
      const thread = await this.rest.request("PUT", `/v2/threads/${peerId}/${kind}`, { body: { up_to: upTo } });
      this.sync.change({ action: "thread", thread });
    }
    await this.keeper.flush();
    return changes;
  }

  // --- the connection

  async onPrepare() {
    await this.load();
    await this.sync.replacing;
    if (!this.keeper.cursor || this.#far) {
      await this.sync.snapshot(this.#far ? "behind" : "new");
      this.#far = false;
    }
    return this.handshake.target(this.keeper.cursor);
  }

  /** @param {HelloFrame} frame */
  #hello(frame) {
    const { user_id, limits, reset, behind } = frame;
    const { keeper } = this;
    if (!keeper.user_id) keeper.set({ user_id });
    else if (keeper.user_id !== user_id) {
      // The store is of another user than the token.
      return this.connection.stop("wrong_user");
    }
    this.limits = limits;
    this.offset = Date.parse(frame.time) - Date.now();
    this.emitter.emit("hello", frame);
    if (limits.retain_s) this.#forgetBefore(Date.parse(frame.time) - limits.retain_s * 1000);
    if (reset) this.sync.snapshot(reset).catch(this.troubled);
    else if (behind > (this.options.farBehind ?? 5000)) {
      this.#far = true;
      this.connection.restart();
    }
  }

  onConnected() {
    this.calls.connected();
    this.outbox.connected();
    this.watch(this.#watched);
  }

  /** @param {LiveFrame} frame */
  #live({ cursor, unread_total }) {
    this.sync.total = unread_total;
    this.sync.live(cursor);
    this.receipts.soon();
    this.#count();
  }

  /** @param {number} flood */
  onLost(flood) {
    this.calls.lost(flood);
    this.outbox.lost();
  }

  /** @param {State} state @param {StopReason | null} reason */
  onState(state, reason) {
    this.emitter.emit("state", { state, reason });
    if (reason === "signed_out") this.#clear().then(() => this.emitter.emit("signed_out", { reason }), this.troubled);
  }

  /** @param {ServerFrame} frame */
  onFrame(frame) {
    const { action } = frame;
    if (action === "hello") this.#hello(frame);
    if (action === "live") this.#live(frame);
    if (action === "message" || action === "thread") this.sync.change(frame);
    if (action === "ack" || action === "error") this.calls.answered(frame);
    if (action === "typing") this.typing.told(frame.peer_id, frame.typing);
    if (action === "presence") this.emitter.emit(action, frame);
    if (action === "user") {
      const { user } = frame;
      const thread = this.keeper.withPeer(user.id);
      if (thread) this.keeper.thread({ ...thread, peer: user });
      this.emitter.emit(action, { user });
      this.onThread(user.id);
    }
    if (action === "token_expiring") {
      // Without a new token the close comes, and asks for one again.
      this.handshake.renew(this.calls).catch(this.troubled);
    }
  }

  // --- what is held

  /** @param {Uuid} peerId */
  onThread(peerId) {
    const thread = this.emitter.listened("thread") && this.keeper.withPeer(peerId);
    if (thread) this.emitter.emit("thread", { thread: this.keeper.show(thread) });
    this.#count();
  }

  /** @param {Message} message */
  onArrived({ id, thread, sender_id, deleted, hidden }) {
    const held = this.keeper.threads.get(thread);
    if (held?.peer_id !== sender_id) return;
    this.typing.told(sender_id, false);
    const isKnown = id <= Math.max(held.delivered_id, held.seen_id);
    if (this.options.delivered !== false && !isKnown && !deleted && !hidden) this.receipts.mark("delivered", sender_id, id);
  }

  /** Another tab has replaced what is stored. */
  onReplaced() {
    this.#loaded = null;
    if (this.connection.state === "stopped") return;
    this.connection.restart();
    this.load().then(() => this.emitter.emit("reset", { reset: "other_tab" }), this.troubled);
  }

  /** @param {Uuid} peerId @param {AckFrame} ack */
  onMarked(peerId, { seen_id = 0, delivered_id = seen_id }) {
    const thread = this.keeper.withPeer(peerId);
    // The rest comes as a change, of `seen`.
    if (thread) this.keeper.thread({ ...thread, seen_id, delivered_id });
    this.onThread(peerId);
  }

  // --- what is sent

  /** The message of a send, before its frame comes. @param {Entry} entry @param {AckFrame} ack */
  onAcked(entry, { message_id = 0, thread = 0, created, repeated }) {
    const held = this.keeper.messages.has(message_id);
    const own = messageOf(entry, this.keeper.user_id, created);
    this.onUploaded({ ...own, id: message_id, thread });
    // It may have been changed since, and its change be behind the cursor.
    if (repeated && !held) this.sync.message(message_id);
  }

  /** @param {Message} message */
  onUploaded(message) {
    this.sync.change({ action: "message", new: true, message });
    // Also while a snapshot is waited for.
    this.outbox.settled(message);
  }

  /**
   * @param {Entry} entry
   * @param {AbortSignal} signal
   * @returns {Promise<Message>}
   */
  onUpload(entry, signal) {
    const { client_ref } = entry;
    /** @type {(sent: number, total: number) => void} */
    const progress = (sent, total) => this.emitter.emit("upload", { client_ref, sent, total });
    return upload(this.rest, this.XMLHttpRequest, entry, signal, progress);
  }

  // --- inside

  #count() {
    if (this.#totalDue) return;
    this.#totalDue = true;
    queueMicrotask(() => {
      this.#totalDue = false;
      const total = this.unreadTotal;
      if (total === this.#total) return;
      this.#total = total;
      this.emitter.emit("unread", { total });
    });
  }

  /** @param {number} time milliseconds since 1970 */
  #forgetBefore(time) {
    for (const { id, created } of this.keeper.messages.values()) if (Date.parse(created) < time) this.keeper.remove(id);
    this.outbox.giveUp(time);
  }

  #ignore() {
    for (const end of this.#unwatch.splice(0)) end?.();
  }

  #end() {
    this.#ignore();
    for (const part of [this.outbox, this.receipts, this.typing]) part.end();
    this.calls.end(new ChatError("closed"));
  }

  async #clear() {
    this.#end();
    this.rest.tokens.forget();
    this.outbox.entries.clear();
    await this.store.clear();
    await this.keeper.open(0);
    this.#loaded = null;
  }
}
