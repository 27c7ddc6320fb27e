/** What an app calls. */

/** @import { Attachment, Block, ClientFrame, Entry, Events, Message, Meta, Options, Sending, SendOptions, ShownMessage, ShownThread, UploadOptions, Uuid } from "./types.js" */
import { Engine } from "./engine.js";
import { ChatError, asChatError } from "./errors.js";
import { messageOf } from "./message.js";
import { randomUuid } from "./platform.js";

/** @param {Uuid} id */
const lower = (id) => id.toLowerCase();

/** A client of one user: what it holds, what it is to send, and the connection that keeps both right. */
export class ChatClient {
  #engine;

  /** @param {Options} options */
  constructor(options) {
    this.#engine = new Engine(options);
  }

  // --- the connection

  /** Connects, and comes back by itself until `close()`. Also after it stopped for a reason. */
  connect() {
    this.#engine.start();
  }

  /** Resolves when what is stored is held. It can be shown without a connection. */
  load() {
    return this.#engine.load();
  }

  /** Ends it. What is held stays in the store. Another client goes on from there. */
  close() {
    return this.#engine.close(false);
  }

  /** Ends it, and removes all that is held of the user. */
  signOut() {
    return this.#engine.close(true);
  }

  /** The app was brought to the front, or the network is another. In browsers it is told by itself. */
  wake() {
    this.#engine.connection.wake();
  }

  get state() {
    return this.#engine.connection.state;
  }

  /** Why it is `stopped`. */
  get stopReason() {
    return this.#engine.connection.reason;
  }

  /** Known after the first `hello`, or from the store. */
  get userId() {
    return this.#engine.keeper.user_id;
  }

  /** Of the server: null before the first `hello`. */
  get limits() {
    return this.#engine.limits;
  }

  /** Milliseconds since 1970 by the clock of the server: for ages. */
  now() {
    return Date.now() + this.#engine.offset;
  }

  /** For requests of one's own: it knows the token. */
  get rest() {
    return this.#engine.rest;
  }

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {(event: Events[K]) => void} listener
   * @returns {() => void} takes it away
   */
  on(type, listener) {
    return this.#engine.emitter.on(type, listener);
  }

  /** All events from now on: `for await (const event of client.events())`. */
  events() {
    return this.#engine.emitter.events();
  }

  // --- what is held

  /** The threads that are held, the one with the greatest message id first. */
  threads() {
    return this.#engine.keeper.showAll();
  }

  /** @param {Uuid} peerId @returns {ShownThread | null} */
  thread(peerId) {
    const { keeper } = this.#engine;
    const thread = keeper.withPeer(lower(peerId));
    return thread ? keeper.show(thread) : null;
  }

  /**
   * What is to be shown of a conversation: the newest part of it without a hole, then what is not sent yet.
   *
   * @param {Uuid} peerId
   * @returns {ShownMessage[]}
   */
  messages(peerId) {
    const { keeper, outbox } = this.#engine;
    const thread = keeper.withPeer(lower(peerId));
    /** @type {ShownMessage[]} */
    const sent = thread ? keeper.shown(thread.id).map((message) => ({ ...message, status: "sent" })) : [];
    const unsent = outbox.ofPeer(lower(peerId)).map((entry) => ({
      ...messageOf(entry, keeper.user_id),
      status: entry.failed ? /** @type {const} */ ("failed") : /** @type {const} */ ("pending"),
      error: entry.failed,
    }));
    return [...sent, ...unsent];
  }

  /** Of all conversations that are not blocked; 1000 stands for more. */
  get unreadTotal() {
    return this.#engine.unreadTotal;
  }

  /**
   * Reads an older page. Gives whether there are more.
   *
   * @param {Uuid} peerId
   * @param {number} [limit] 1 to 200
   */
  async history(peerId, limit = 50) {
    await this.load();
    return this.#engine.sync.history(lower(peerId), limit);
  }

  /** Reads all changes without a socket, as for a push. Gives how many. */
  pull() {
    return this.#engine.pull();
  }

  // --- sends

  /**
   * Resolves when it is written down: from then on it is sent for sure, once, also after a reload.
   *
   * @param {Uuid} peerId
   * @param {string} text
   * @param {SendOptions} [options]
   * @returns {Promise<Sending>}
   */
  async send(peerId, text, options = {}) {
    if (new Blob([text]).size > (this.limits?.max_body_bytes ?? Infinity)) throw new ChatError("message_too_large");
    this.#engine.typing.sent(lower(peerId));
    return this.#add(peerId, text, options);
  }

  /**
   * The same of a file. Its progress comes as `upload`; `discard()` cancels it.
   *
   * @param {Uuid} peerId
   * @param {Blob | File} file
   * @param {UploadOptions} [options]
   * @returns {Promise<Sending>}
   */
  async upload(peerId, file, { message = "", name = /** @type {File} */ (file).name, dispatch = true, ...options } = {}) {
    if (file.size > (this.limits?.max_attachment_bytes ?? Infinity)) throw new ChatError("message_too_large");
    return this.#add(peerId, message, options, { file, name, dispatch });
  }

  /**
   * @param {Uuid} peerId
   * @param {string} message_body
   * @param {SendOptions} options
   * @param {Pick<Entry, "file" | "name" | "dispatch">} [upload]
   * @returns {Promise<Sending>}
   */
  async #add(peerId, message_body, { replyTo: reply_to = null, meta = null, clientRef }, upload) {
    const { options, outbox } = this.#engine;
    const client_ref = lower(clientRef ?? (options.randomUUID ?? randomUuid)());
    const text = { client_ref, peer_id: lower(peerId), message_body, reply_to, meta };
    return outbox.add({ ...text, ...upload, created: this.now(), seq: 0 });
  }

  /** Sends what was refused again. @param {Uuid} clientRef */
  retry(clientRef) {
    return this.#engine.outbox.retry(clientRef);
  }

  /** Takes out what is not sent, or cancels an upload. False: it is too late. @param {Uuid} clientRef */
  discard(clientRef) {
    return this.#engine.outbox.discard(clientRef);
  }

  // --- verbs. They fail with a ChatError.

  /**
   * @param {number} id
   * @param {string} text
   * @param {{ meta?: Meta }} [options] left out, `meta` stays; null removes it
   */
  edit(id, text, { meta } = {}) {
    return this.#verb(id, { action: "message_edit", message_id: id, message_body: text, meta });
  }

  /** @param {number} id @param {"everyone" | "me"} whom */
  delete(id, whom) {
    return this.#verb(id, { action: "message_delete", message_id: id, for: whom });
  }

  /** Lets the receiver learn of a file that was uploaded with `dispatch: false`. @param {number} id */
  dispatch(id) {
    return this.#verb(id, { action: "chat_message_file", chat_id: id });
  }

  /** What became of the message is read where it was refused. @param {number} id @param {ClientFrame} frame */
  async #verb(id, frame) {
    const { calls, sync } = this.#engine;
    try {
      return await calls.call(frame, frame.action + id);
    } catch (error) {
      if (["not_found", "not_allowed", "too_late"].includes(asChatError(error).code)) sync.message(id);
      throw error;
    }
  }

  /**
   * The user has seen a conversation: all of it, or up to a message. Call it for what is on the screen of an active app.
   *
   * @param {Uuid} peerId
   * @param {number} [upTo]
   */
  seen(peerId, upTo) {
    const engine = this.#engine;
    const thread = this.thread(peerId);
    const mark = upTo ?? thread?.last_id ?? 0;
    if (!thread || mark <= thread.seen_id) return;
    engine.receipts.mark("seen", thread.peer_id, mark);
    // Once: a listener of it may be who calls.
    if (engine.keeper.marked(thread.peer_id, mark)) engine.onThread(thread.peer_id);
  }

  /** Call it at each key, and with false when the text is given up. @param {Uuid} peerId */
  typing(peerId, typing = true) {
    this.#engine.typing.set(lower(peerId), typing);
  }

  /**
   * Whose presence is told from now on, as `presence`, over reconnects. It replaces the list. At most 100.
   *
   * @param {Uuid[]} peerIds
   */
  watchPresence(peerIds) {
    this.#engine.watch(peerIds.map(lower));
  }

  /** Who may see the user online. Who hides sees nobody. @param {"peers" | "nobody"} presence */
  setPresence(presence) {
    return this.#engine.calls.call({ action: "presence_set", presence }, "presence");
  }

  /** @param {Uuid} peerId */
  block(peerId) {
    return this.#block("block", peerId);
  }

  /** @param {Uuid} peerId */
  unblock(peerId) {
    return this.#block("unblock", peerId);
  }

  /** @param {"block" | "unblock"} action @param {Uuid} peerId */
  #block(action, peerId) {
    return this.#engine.calls.call({ action, peer_id: lower(peerId) }, "block" + lower(peerId));
  }

  // --- reads

  /** @returns {AsyncGenerator<Block, void, void>} */
  blocks() {
    return this.rest.items("blocks", "/v2/blocks");
  }

  /**
   * Messages with all words, the newest first. Fails with `not_enabled` where the server has no search.
   *
   * @param {string} words
   * @param {{ peerId?: Uuid, limit?: number }} [options] `limit` is that of a page
   * @returns {AsyncGenerator<Message, void, void>}
   */
  search(words, { peerId, limit } = {}) {
    return this.rest.items("messages", "/v2/search", { q: words, peer_id: peerId, limit });
  }

  /**
   * The messages of a conversation, straight from the server, page by page.
   *
   * @param {Uuid} peerId
   * @param {{ before?: number, after?: number, order?: "newest" | "oldest", limit?: number }} [options]
   * @returns {AsyncGenerator<Message, void, void>}
   */
  read(peerId, options) {
    return this.rest.items("messages", `/v2/threads/${peerId}/messages`, options);
  }

  /**
   * An address of a file that is good for a while without a token: for `<img>` and players.
   *
   * @param {Attachment} attachment
   * @returns {Promise<{ url: string, expires_in_s: number }>}
   */
  async link(attachment) {
    const link = await this.rest.request("POST", "/v2/ticket", { body: { path: attachment.url } });
    link.url = this.rest.address(link.url);
    return link;
  }
}
