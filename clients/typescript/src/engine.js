/** The parts, and what they tell each other. */

/** @import { AckFrame, Entry, HelloFrame, Limits, Message, Options, Sending, SendOptions, ServerFrame, Store, StopReason, Uuid } from "./types.js" */
import { Backoff } from "./backoff.js";
import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { ChatError, asChatError } from "./errors.js";
import { Handshake } from "./handshake.js";
import { Keeper } from "./keeper.js";
import { Outbox } from "./outbox.js";
import { randomUuid, watchPlatform } from "./platform.js";
import { Receipts } from "./receipts.js";
import { Rest } from "./rest.js";
import { MemoryStore } from "./store/memory.js";
import { Sync } from "./sync.js";
import { TIMING } from "./timing.js";
import { Tokens } from "./token.js";
import { Typing } from "./typing.js";
import { upload } from "./uploads.js";

export class Engine {
  emitter = new Emitter();
  /** @type {Limits | null} */
  limits = null;
  /** @type {string | null} */
  sessionId = null;
  /** @type {Promise<void> | null} */
  #loaded = null;
  /** Behind so far that a snapshot is shorter. */
  #far = false;
  /** The clock of the server, less this one's. Milliseconds. */
  #offset = 0;
  /** @type {Uuid[] | null} */
  #watched = null;
  #total = -1;
  #totalDue = false;
  /** @type {(() => void)[]} */
  #unwatch = [];

  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    const timing = { ...TIMING, ...options.timing };
    const random = options.random ?? Math.random;
    const backoff = () => new Backoff(timing.backoffBase, timing.backoffMax, random);
    /** @param {unknown} error */
    const troubled = (error) => this.emitter.emit("error", { error });
    this.troubled = troubled;
    this.rest = new Rest({
      url: options.url,
      tokens: new Tokens(options.token),
      fetch: options.fetch ?? globalThis.fetch,
      timeout: timing.request,
    });
    this.handshake = new Handshake(options, this.rest);
    /** @type {Store} */
    this.store = options.store ?? new MemoryStore();
    this.keeper = new Keeper(this.store, timing.store, { lost: () => this.#reload(), failed: troubled });
    this.sync = new Sync(this.keeper, this.rest, {
      message: (message, ring) => this.emitter.emit("message", { message, ring }),
      arrived: (message) => this.#arrived(message),
      thread: (peerId) => this.changed(peerId),
      own: ({ client_ref, id, thread, created }) => {
        const sent = { client_ref: client_ref ?? "", message_id: id, thread, created };
        if (this.outbox.settled(sent.client_ref, sent)) this.emitter.emit("sent", sent);
      },
      reset: (reset) => {
        this.emitter.emit("reset", { reset });
        this.#count();
      },
      gaveUp: () => this.connection.drop(),
      troubled,
    });
    this.calls = new Calls(timing.request, backoff);
    this.receipts = new Receipts(this.calls, timing.receipts, (peerId, ack) => this.#marked(peerId, ack));
    this.typists = new Typing(timing, {
      send: (frame) => this.connection.send(frame),
      changed: (peer_id, typing) => this.emitter.emit("typing", { peer_id, typing }),
    });
    const { XMLHttpRequest = globalThis.XMLHttpRequest ?? null } = options;
    this.transport = { rest: this.rest, XMLHttpRequest, idle: timing.request };
    this.outbox = new Outbox({
      store: this.store,
      uploads: options.uploads ?? 2,
      backoff,
      upload: (entry, signal) => this.#upload(entry, signal),
      acked: (entry, ack) => this.#acked(entry, ack),
      uploaded: (message) => this.#own(message),
      changed: (peer_id) => this.emitter.emit("outbox", { peer_id }),
      failed: ({ client_ref, peer_id }, error) => this.emitter.emit("failed", { client_ref, peer_id, error }),
      troubled,
    });
    const WebSocket = options.WebSocket ?? /** @type {any} */ (globalThis.WebSocket);
    this.connection = new Connection(WebSocket, timing, random, {
      prepare: () => this.#prepare(),
      hello: (frame) => this.#hello(frame),
      connected: (socket) => {
        this.calls.connected(socket);
        this.outbox.connected(socket);
        this.watch(this.#watched);
      },
      live: ({ cursor, unread_total }) => {
        this.sync.total = unread_total;
        this.sync.live(cursor);
        this.receipts.connected(true);
        this.#count();
      },
      frame: (frame) => this.#frame(frame),
      lost: (culprit) => {
        this.receipts.connected(false);
        this.calls.lost(culprit);
        this.outbox.lost(culprit);
      },
      refused: () => this.handshake.refused(),
      state: (state, reason) => {
        this.emitter.emit("state", { state, reason });
        if (reason === "signed_out") this.#signedOut(reason);
      },
    });
  }

  start() {
    this.#ignore();
    const { watch } = this.store;
    this.#unwatch = [
      watchPlatform((newNetwork) => this.connection.wake(newNetwork)),
      watch?.call(this.store, () => this.outbox.reload().catch(this.troubled)) ?? (() => {}),
    ];
    this.connection.start();
  }

  load() {
    return (this.#loaded ??= this.keeper.load(this.options.keep ?? 200).then(
      (entries) => {
        this.outbox.load(entries);
        this.sync.loaded();
      },
      (error) => {
        this.#loaded = null;
        throw error;
      },
    ));
  }

  async close() {
    this.#end();
    await this.keeper.flush();
    this.keeper.stop();
    this.store.close?.();
    this.emitter.end();
  }

  async signOut() {
    this.#end();
    await this.#clear();
    this.store.close?.();
    this.emitter.end();
  }

  /** Known after the first `hello`, or from the store. */
  get userId() {
    return this.keeper.userId;
  }

  now() {
    return Date.now() + this.#offset;
  }

  /** Of all conversations that are not blocked; 1000 stands for more. */
  get unreadTotal() {
    return this.keeper.next === null ? this.keeper.state.unreadTotal() : this.sync.total;
  }

  /**
   * @param {Uuid} peerId
   * @param {string} message_body
   * @param {SendOptions} options
   * @param {Pick<Entry, "file" | "name" | "dispatch">} [upload]
   * @returns {Promise<Sending>}
   */
  async add(peerId, message_body, { replyTo = null, meta = null, clientRef }, upload = {}) {
    const client_ref = (clientRef ?? (this.options.randomUUID ?? randomUuid)()).toLowerCase();
    const text = { client_ref, peer_id: peerId.toLowerCase(), message_body, reply_to: replyTo, meta };
    const { sent } = await this.outbox.add({ ...text, ...upload, created: this.now(), seq: 0 });
    return { clientRef: client_ref, sent };
  }

  /**
   * What became of the message is read where it was refused.
   *
   * @param {number} id
   * @param {import("./types.js").ClientFrame} frame
   * @param {string} key
   */
  async verb(id, frame, key) {
    try {
      return await this.calls.call(frame, key);
    } catch (error) {
      const { code } = asChatError(error);
      if (["not_found", "not_allowed", "too_late"].includes(code)) this.sync.message(id).catch(() => {});
      throw error;
    }
  }

  /** @param {Uuid[] | null} peerIds */
  watch(peerIds) {
    this.#watched = peerIds;
    if (!peerIds || !this.connection.serves) return;
    this.calls
      .call({ action: "presence_watch", peer_ids: peerIds }, "watch", ({ states }) =>
        states?.forEach((state) => this.emitter.emit("presence", state)),
      )
      .catch((error) => asChatError(error).transient || this.troubled(error));
  }

  /** Without a socket: all changes, and that they were delivered. */
  async pull() {
    await this.load();
    const changes = await this.sync.pull();
    if (this.connection.serves) return changes;
    for (const [peerId, { delivered, seen }] of this.receipts.take()) {
      const [kind, up_to] = seen >= delivered ? ["seen", seen] : ["delivered", delivered];
      const state = await this.rest.request("PUT", `/v2/threads/${peerId}/${kind}`, { body: { up_to } });
      this.sync.change({ action: "thread", thread: state });
    }
    await this.keeper.flush();
    return changes;
  }

  /**
   * An entry as a message.
   *
   * @param {Entry} entry
   * @param {string} [created]
   * @returns {Message}
   */
  messageOf({ client_ref, peer_id, message_body, reply_to, meta, file, name = "", ...entry }, created) {
    const time = created ?? new Date(entry.created).toISOString().replace("Z", "000Z");
    return {
      id: 0,
      thread: 0,
      sender_id: this.userId ?? "",
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

  /** @param {Uuid} peerId */
  changed(peerId) {
    const { state } = this.keeper;
    const thread = this.emitter.listened("thread") && state.withPeer(peerId);
    if (thread) this.emitter.emit("thread", { thread: state.show(thread) });
    this.#count();
  }

  // --- to the connection

  async #prepare() {
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
    const { keeper } = this;
    if (keeper.userId && keeper.userId !== frame.user_id) {
      this.troubled(new ChatError("invalid_token", "the token is of another user than what is stored"));
      this.connection.stop("wrong_user");
      return false;
    }
    if (!keeper.userId) keeper.setUser(frame.user_id);
    this.limits = this.outbox.limits = frame.limits;
    this.sessionId = frame.session_id;
    this.#offset = Date.parse(frame.time) - Date.now();
    this.emitter.emit("hello", frame);
    if (frame.limits.retain_s) this.#forgetBefore(this.now() - frame.limits.retain_s * 1000);
    if (frame.reset) this.sync.snapshot(frame.reset).catch((error) => asChatError(error).transient || this.troubled(error));
    else if (frame.behind > (this.options.farBehind ?? 5000)) {
      this.#far = true;
      this.connection.restart();
      return false;
    }
    return true;
  }

  /** @param {ServerFrame} frame */
  #frame(frame) {
    switch (frame.action) {
      case "message":
      case "thread":
        return this.sync.change(frame);
      case "ack":
      case "error":
        this.calls.answered(frame);
        return this.outbox.answered(frame);
      case "typing":
        return this.typists.told(frame.peer_id, frame.typing);
      case "presence": {
        const { peer_id, online, last_seen } = frame;
        return this.emitter.emit("presence", { peer_id, online, last_seen });
      }
      case "user": {
        const thread = this.keeper.state.withPeer(frame.user.id);
        if (thread) this.keeper.thread({ ...thread, peer: frame.user });
        this.emitter.emit("user", { user: frame.user });
        return this.changed(frame.user.id);
      }
      case "token_expiring":
        // Without a new token the close comes, and asks for one again.
        this.handshake.renew((frame) => this.calls.call(frame, "token")).catch(this.troubled);
    }
  }

  // --- what is told

  /** @param {Message} message */
  #arrived({ id, thread, sender_id, deleted, hidden }) {
    const held = this.keeper.state.threads.get(thread);
    if (held?.peer_id !== sender_id) return;
    this.typists.told(sender_id, false);
    const known = Math.max(held.delivered_id, held.seen_id);
    if (this.options.delivered !== false && id > known && !deleted && !hidden) {
      this.receipts.mark("delivered", sender_id, id);
    }
  }

  /**
   * @param {Uuid} peerId
   * @param {AckFrame} ack
   */
  #marked(peerId, { seen_id = 0, delivered_id = seen_id, unread = 0, last_id = -1 }) {
    const thread = this.keeper.state.withPeer(peerId);
    if (!thread) return;
    const newer = last_id >= thread.last_id ? { unread, last_id } : {};
    this.keeper.thread({ ...thread, ...newer, seen_id, delivered_id });
    this.changed(peerId);
  }

  /**
   * The message of a send, before its frame comes.
   *
   * @param {Entry} entry
   * @param {AckFrame} ack
   */
  #acked(entry, { message_id = 0, thread = 0, created, repeated }) {
    const held = this.keeper.state.messages.has(message_id);
    this.#own({ ...this.messageOf(entry, created), id: message_id, thread });
    // It may have been changed since, and its change be behind the cursor.
    if (repeated && !held) this.sync.message(message_id).catch(() => {});
  }

  /** @param {Message} message */
  #own(message) {
    this.sync.change({ action: "message", new: true, message });
  }

  /**
   * @param {Entry} entry
   * @param {AbortSignal} signal
   */
  async #upload(entry, signal) {
    if (entry.begun) {
      try {
        return await this.rest.get(`/v2/sends/${entry.client_ref}`);
      } catch (error) {
        if (asChatError(error).code !== "not_found") throw error;
      }
    }
    return upload(this.transport, entry, signal, (sent, total) =>
      this.emitter.emit("upload", { client_ref: entry.client_ref, sent, total }),
    );
  }

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
    for (const { id, created } of this.keeper.state.messages.values()) if (Date.parse(created) < time) this.keeper.remove(id);
    this.outbox.giveUp(time);
  }

  // --- ends

  /** Another tab has replaced what is stored. */
  #reload() {
    this.#loaded = null;
    if (this.connection.state === "stopped") return;
    this.connection.restart();
    this.load().then(() => this.emitter.emit("reset", { reset: "other_tab" }), this.troubled);
  }

  #ignore() {
    for (const end of this.#unwatch.splice(0)) end();
  }

  #end() {
    this.#ignore();
    this.connection.stop("closed");
    this.outbox.end();
    this.receipts.end();
    this.typists.end();
    this.calls.end(new ChatError("closed"));
  }

  async #clear() {
    this.rest.tokens.forget();
    this.keeper.stop();
    this.outbox.entries.clear();
    await this.store.clear();
    await this.keeper.load(0);
    this.#loaded = null;
  }

  /** @param {StopReason} reason */
  async #signedOut(reason) {
    this.#ignore();
    this.outbox.end();
    this.receipts.end();
    this.typists.end();
    this.calls.end(new ChatError("closed"));
    await this.#clear().catch(this.troubled);
    this.emitter.emit("signed_out", { reason });
  }
}
