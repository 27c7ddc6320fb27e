/** What an app calls. */

/** @import { Attachment, Block, Events, Me, Message, Meta, Options, Sending, SendOptions, ShownMessage, ShownThread, UploadOptions, Uuid } from "./types.js" */
import { Engine } from "./engine.js";
import { ChatError } from "./errors.js";

/** A client of one user: what it holds, what it is to send, and the connection that keeps both right. */
export class ChatClient {
  #engine;

  /** @param {Options} options */
  constructor(options) {
    this.#engine = new Engine(options);
  }

  /** For requests of one's own: it knows the token. */
  get rest() {
    return this.#engine.rest;
  }

  /** Of the server: null before the first `hello`. */
  get limits() {
    return this.#engine.limits;
  }

  /** A name of the connection, for support. */
  get sessionId() {
    return this.#engine.sessionId;
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
    return this.#engine.close();
  }

  /** Ends it, and removes all that is held of the user. */
  signOut() {
    return this.#engine.signOut();
  }

  /** The app was brought to the front, or the network is another. In browsers it is told by itself. */
  wake({ newNetwork = false } = {}) {
    this.#engine.connection.wake(newNetwork);
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
    return this.#engine.keeper.userId;
  }

  /** Milliseconds since 1970 by the clock of the server: for ages. */
  now() {
    return this.#engine.now();
  }

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {(event: Events[K]) => void} listener
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
    return this.#engine.keeper.state.showAll();
  }

  /**
   * @param {Uuid} peerId
   * @returns {ShownThread | null}
   */
  thread(peerId) {
    const thread = this.#engine.keeper.state.withPeer(peerId.toLowerCase());
    return thread ? this.#engine.keeper.state.show(thread) : null;
  }

  /**
   * What is to be shown of a conversation: the newest part of it without a hole, then what is not sent yet.
   *
   * @param {Uuid} peerId
   * @returns {ShownMessage[]}
   */
  messages(peerId) {
    const peer = peerId.toLowerCase();
    const { state } = this.#engine.keeper;
    const thread = state.withPeer(peer);
    const messages = thread ? state.shown(thread.id) : [];
    return [
      ...messages.map((message) => /** @type {ShownMessage} */ ({ ...message, status: "sent" })),
      ...this.#engine.outbox.ofPeer(peer).map((entry) => this.#engine.shown(entry)),
    ];
  }

  /** Of all conversations that are not blocked; 1000 stands for more. */
  get unreadTotal() {
    return this.#engine.unreadTotal();
  }

  /**
   * Reads an older page. Gives whether there are more.
   *
   * @param {Uuid} peerId
   * @param {number} [limit] 1 to 200
   */
  async history(peerId, limit = 50) {
    await this.load();
    return this.#engine.sync.history(peerId.toLowerCase(), limit);
  }

  /** Reads all changes without a socket, as for a push. Gives how many. */
  async pull() {
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
    const most = this.limits?.max_body_bytes;
    if (!text) throw new ChatError("invalid_field", "the text is empty");
    if (most && new TextEncoder().encode(text).length > most) throw new ChatError("message_too_large");
    this.#engine.typing.sent(peerId.toLowerCase());
    return this.#engine.add(peerId, text, options);
  }

  /**
   * The same of a file. Its progress comes as `upload`; `discard()` cancels it.
   *
   * @param {Uuid} peerId
   * @param {Blob} file
   * @param {UploadOptions} [options]
   * @returns {Promise<Sending>}
   */
  async upload(peerId, file, { message = "", name, dispatch = true, ...options } = {}) {
    const most = this.limits?.max_attachment_bytes;
    if (most !== undefined && file.size > most) throw new ChatError("message_too_large");
    const known = /** @type {Partial<File>} */ (file).name;
    return this.#engine.add(peerId, message, options, { file, name: name ?? known ?? "file", dispatch });
  }

  /**
   * Sends what was refused again.
   *
   * @param {Uuid} clientRef
   */
  retry(clientRef) {
    return this.#engine.outbox.retry(clientRef);
  }

  /**
   * Takes out what is not sent, or cancels an upload. False: it is too late.
   *
   * @param {Uuid} clientRef
   */
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
    const frame = { action: /** @type {const} */ ("message_edit"), message_id: id, message_body: text };
    return this.#engine.verb(id, meta === undefined ? frame : { ...frame, meta }, `edit ${id}`);
  }

  /**
   * @param {number} id
   * @param {"everyone" | "me"} whom
   */
  delete(id, whom) {
    return this.#engine.verb(id, { action: "message_delete", message_id: id, for: whom }, `delete ${id} ${whom}`);
  }

  /**
   * Lets the receiver learn of a file that was uploaded with `dispatch: false`.
   *
   * @param {number} id
   */
  dispatch(id) {
    return this.#engine.verb(id, { action: "chat_message_file", chat_id: id }, `dispatch ${id}`);
  }

  /**
   * The user has seen a conversation: all of it, or up to a message. Call it for what is on the screen of an active app.
   *
   * @param {Uuid} peerId
   * @param {number} [upTo]
   */
  seen(peerId, upTo) {
    const thread = this.thread(peerId);
    const mark = upTo ?? thread?.last_id ?? 0;
    if (!thread || mark <= thread.seen_id) return;
    this.#engine.keeper.state.marked(thread.peer_id, mark);
    this.#engine.receipts.mark("seen", thread.peer_id, mark);
    this.#engine.changed(thread.peer_id);
  }

  /**
   * Call it at each key, and with false when the text is given up.
   *
   * @param {Uuid} peerId
   * @param {boolean} [typing]
   */
  typing(peerId, typing = true) {
    this.#engine.typing.set(peerId.toLowerCase(), typing);
  }

  /** @param {Uuid} peerId */
  isTyping(peerId) {
    return this.#engine.typing.isTyping(peerId.toLowerCase());
  }

  /**
   * Whose presence is told from now on, as `presence`, over reconnects. It replaces the list. At most 100.
   *
   * @param {Uuid[]} peerIds
   */
  watchPresence(peerIds) {
    this.#engine.watch(peerIds.map((id) => id.toLowerCase()));
  }

  /**
   * Who may see the user online. Who hides sees nobody.
   *
   * @param {"peers" | "nobody"} presence
   */
  async setPresence(presence) {
    await this.#engine.calls.call({ action: "presence_set", presence }, "presence");
  }

  /** @param {Uuid} peerId */
  async block(peerId) {
    await this.#engine.calls.call({ action: "block", peer_id: peerId.toLowerCase() }, `block ${peerId}`);
  }

  /** @param {Uuid} peerId */
  async unblock(peerId) {
    await this.#engine.calls.call({ action: "unblock", peer_id: peerId.toLowerCase() }, `block ${peerId}`);
  }

  // --- reads

  /** @returns {AsyncGenerator<Block, void, void>} */
  async *blocks() {
    for await (const page of this.#engine.rest.pages("/v2/blocks", { limit: 200 })) yield* page.blocks;
  }

  /**
   * Messages with all words, the newest first. Fails with `not_enabled` where the server has no search.
   *
   * @param {string} words
   * @param {{ peerId?: Uuid, limit?: number }} [options] `limit` is that of a page
   * @returns {AsyncGenerator<Message, void, void>}
   */
  async *search(words, { peerId, limit } = {}) {
    for await (const page of this.#engine.rest.pages("/v2/search", { q: words, peer_id: peerId, limit })) yield* page.messages;
  }

  /**
   * The messages of a conversation, straight from the server, page by page.
   *
   * @param {Uuid} peerId
   * @param {{ before?: number, after?: number, order?: "newest" | "oldest", limit?: number }} [options]
   * @returns {AsyncGenerator<Message, void, void>}
   */
  async *read(peerId, options = {}) {
    for await (const page of this.#engine.rest.pages(`/v2/threads/${peerId}/messages`, options)) yield* page.messages;
  }

  /** @returns {Promise<Me>} */
  me() {
    return this.#engine.rest.get("/v2/me");
  }

  /**
   * The address of a file for a request with a token.
   *
   * @param {Attachment} attachment
   */
  address(attachment) {
    return this.#engine.rest.address(attachment.url);
  }

  /**
   * An address of a file that is good for a while without a token: for `<img>` and players.
   *
   * @param {Attachment} attachment
   * @returns {Promise<{ url: string, expires_in_s: number }>}
   */
  async link(attachment) {
    const { url, expires_in_s } = await this.#engine.rest.request("POST", "/v2/ticket", { body: { path: attachment.url } });
    return { url: this.#engine.rest.address(url), expires_in_s };
  }
}
