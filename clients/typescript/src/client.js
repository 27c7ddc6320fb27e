/** What an app calls. */

/** @import { Attachment, Block, Events, Me, Message, Meta, Sending, SendOptions, ShownMessage, ShownThread, UploadOptions, Uuid } from "./types.js" */
import { Engine } from "./engine.js";
import { ChatError } from "./errors.js";

/** A client of one user: what it holds, what it is to send, and the connection that keeps both right. */
export class ChatClient extends Engine {
  /** The app was brought to the front, or the network is another. In browsers it is told by itself. */
  wake({ newNetwork = false } = {}) {
    this.connection.wake(newNetwork);
  }

  get state() {
    return this.connection.state;
  }

  /** Why it is `stopped`. */
  get stopReason() {
    return this.connection.reason;
  }

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {(event: Events[K]) => void} listener
   */
  on(type, listener) {
    return this.emitter.on(type, listener);
  }

  /** All events from now on: `for await (const event of client.events())`. */
  events() {
    return this.emitter.events();
  }

  // --- what is held

  /** The threads that are held, the one with the greatest message id first. */
  threads() {
    return this.keeper.state.showAll();
  }

  /**
   * @param {Uuid} peerId
   * @returns {ShownThread | null}
   */
  thread(peerId) {
    const thread = this.keeper.state.withPeer(peerId.toLowerCase());
    return thread ? this.keeper.state.show(thread) : null;
  }

  /**
   * What is to be shown of a conversation: the newest part of it without a hole, then what is not sent yet.
   *
   * @param {Uuid} peerId
   * @returns {ShownMessage[]}
   */
  messages(peerId) {
    const peer = peerId.toLowerCase();
    const { state } = this.keeper;
    const thread = state.withPeer(peer);
    const messages = thread ? state.shown(thread.id) : [];
    return [
      ...messages.map((message) => /** @type {ShownMessage} */ ({ ...message, status: "sent" })),
      ...this.outbox.ofPeer(peer).map((entry) => {
        const status = entry.failed ? "failed" : "pending";
        return /** @type {ShownMessage} */ ({ ...this.messageOf(entry), status, error: entry.failed });
      }),
    ];
  }

  /**
   * Reads an older page. Gives whether there are more.
   *
   * @param {Uuid} peerId
   * @param {number} [limit] 1 to 200
   */
  async history(peerId, limit = 50) {
    await this.load();
    return this.sync.history(peerId.toLowerCase(), limit);
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
    this.typists.sent(peerId.toLowerCase());
    return this.add(peerId, text, options);
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
    return this.add(peerId, message, options, { file, name: name ?? known ?? "file", dispatch });
  }

  /**
   * Sends what was refused again.
   *
   * @param {Uuid} clientRef
   */
  retry(clientRef) {
    return this.outbox.retry(clientRef);
  }

  /**
   * Takes out what is not sent, or cancels an upload. False: it is too late.
   *
   * @param {Uuid} clientRef
   */
  discard(clientRef) {
    return this.outbox.discard(clientRef);
  }

  // --- verbs. They fail with a ChatError.

  /**
   * @param {number} id
   * @param {string} text
   * @param {{ meta?: Meta }} [options] left out, `meta` stays; null removes it
   */
  edit(id, text, { meta } = {}) {
    const frame = { action: /** @type {const} */ ("message_edit"), message_id: id, message_body: text };
    return this.verb(id, meta === undefined ? frame : { ...frame, meta }, `edit ${id}`);
  }

  /**
   * @param {number} id
   * @param {"everyone" | "me"} whom
   */
  delete(id, whom) {
    return this.verb(id, { action: "message_delete", message_id: id, for: whom }, `delete ${id} ${whom}`);
  }

  /**
   * Lets the receiver learn of a file that was uploaded with `dispatch: false`.
   *
   * @param {number} id
   */
  dispatch(id) {
    return this.verb(id, { action: "chat_message_file", chat_id: id }, `dispatch ${id}`);
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
    this.keeper.state.marked(thread.peer_id, mark);
    this.receipts.mark("seen", thread.peer_id, mark);
    this.changed(thread.peer_id);
  }

  /**
   * Call it at each key, and with false when the text is given up.
   *
   * @param {Uuid} peerId
   * @param {boolean} [typing]
   */
  typing(peerId, typing = true) {
    this.typists.set(peerId.toLowerCase(), typing);
  }

  /** @param {Uuid} peerId */
  isTyping(peerId) {
    return this.typists.isTyping(peerId.toLowerCase());
  }

  /**
   * Whose presence is told from now on, as `presence`, over reconnects. It replaces the list. At most 100.
   *
   * @param {Uuid[]} peerIds
   */
  watchPresence(peerIds) {
    this.watch(peerIds.map((id) => id.toLowerCase()));
  }

  /**
   * Who may see the user online. Who hides sees nobody.
   *
   * @param {"peers" | "nobody"} presence
   */
  async setPresence(presence) {
    await this.calls.call({ action: "presence_set", presence }, "presence");
  }

  /** @param {Uuid} peerId */
  async block(peerId) {
    await this.calls.call({ action: "block", peer_id: peerId.toLowerCase() }, `block ${peerId}`);
  }

  /** @param {Uuid} peerId */
  async unblock(peerId) {
    await this.calls.call({ action: "unblock", peer_id: peerId.toLowerCase() }, `block ${peerId}`);
  }

  // --- reads

  /** @returns {AsyncGenerator<Block, void, void>} */
  async *blocks() {
    for await (const page of this.rest.pages("/v2/blocks", { limit: 200 })) yield* page.blocks;
  }

  /**
   * Messages with all words, the newest first. Fails with `not_enabled` where the server has no search.
   *
   * @param {string} words
   * @param {{ peerId?: Uuid, limit?: number }} [options] `limit` is that of a page
   * @returns {AsyncGenerator<Message, void, void>}
   */
  async *search(words, { peerId, limit } = {}) {
    for await (const page of this.rest.pages("/v2/search", { q: words, peer_id: peerId, limit })) yield* page.messages;
  }

  /**
   * The messages of a conversation, straight from the server, page by page.
   *
   * @param {Uuid} peerId
   * @param {{ before?: number, after?: number, order?: "newest" | "oldest", limit?: number }} [options]
   * @returns {AsyncGenerator<Message, void, void>}
   */
  async *read(peerId, options = {}) {
    for await (const page of this.rest.pages(`/v2/threads/${peerId}/messages`, options)) yield* page.messages;
  }

  /** @returns {Promise<Me>} */
  me() {
    return this.rest.get("/v2/me");
  }

  /**
   * The address of a file for a request with a token.
   *
   * @param {Attachment} attachment
   */
  address(attachment) {
    return this.rest.address(attachment.url);
  }

  /**
   * An address of a file that is good for a while without a token: for `<img>` and players.
   *
   * @param {Attachment} attachment
   * @returns {Promise<{ url: string, expires_in_s: number }>}
   */
  async link(attachment) {
    const { url, expires_in_s } = await this.rest.request("POST", "/v2/ticket", { body: { path: attachment.url } });
    return { url: this.rest.address(url), expires_in_s };
  }
}
