/** A conversation: who it is with, its messages, and where one is written. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { ShownMessage, ShownThread } from "../../typescript/src/types.js" */
/** @import { People } from "./people.js" */
import { randomUuid } from "../../typescript/src/platform.js";
import { Attachments } from "./attachment.js";
import { Composer } from "./composer.js";
import { icon, make, say, set } from "./element.js";
import { t, when } from "./language.js";
import { Menu } from "./menu.js";
import { article } from "./message.js";
import { Timeline, keyOf } from "./timeline.js";
import { VirtualList } from "./virtual.js";

/** What is said of the beginning stands above it: pixels. */
const HEAD = 40;

export class Conversation {
  /** @type {Timeline | null} */
  #timeline = null;
  /** @type {Map<string, string>} */
  #drafts = new Map();
  #isTyping = false;
  /** @type {import("../../typescript/src/types.js").Presence | null} */
  #presence = null;
  /** Looked up once for all articles. @type {ShownThread | null} */
  #thread = null;
  #peerName = "";

  /**
   * @param {ChatClient} chat
   * @param {People} people
   * @param {{ failed: (error: unknown, isAsked?: boolean) => void, back: () => void }} on `isAsked`: the user waits for it
   */
  constructor(chat, people, on) {
    this.chat = chat;
    this.people = people;
    this.on = on;
    this.peerId = "";
    this.attachments = new Attachments(chat, on.failed);
    this.menu = new Menu();
    this.composer = new Composer({
      send: (text) => this.#send(text),
      edit: (message, text) => this.#told(chat.edit(message.id, text)),
      attach: (files) => this.#attach(files),
      typing: (isTyping) => chat.typing(this.peerId, isTyping),
    });
    this.back = make("button", { type: "button", class: "round quiet back", onclick: on.back }, icon("back"));
    this.name = make("h2", { tabindex: -1 });
    this.about = make("p", { class: "presence", role: "status" });
    this.note = make("p", { class: "note" });
    this.room = make("div", { class: "room" });
    this.feed = make("div", { class: "feed", role: "feed", tabindex: 0, onkeydown: (event) => this.#key(event) }, this.room);
    this.newest = make("button", { type: "button", class: "round newest", hidden: true, onclick: () => this.#toEnd() }, icon("down"));
    this.list = new VirtualList(this.feed, this.room, {
      key: keyOf,
      render: (message, element, index, items) => this.#article(message, element, index, items),
      moved: (at) => this.#moved(at),
    });
    const header = make("header", {}, this.back, make("div", {}, this.name, this.about));
    const below = [this.newest, this.composer.element, this.menu.element];
    this.element = make("section", { class: "conversation" }, header, this.note, this.feed, ...below);
    this.#listen();
  }

  #listen() {
    const { chat } = this;
    chat.on("message", ({ message }) => {
      if (![message.sender_id, message.receiver_id].includes(this.peerId)) return;
      if (message.deleted || message.hidden) this.composer.lost(message.id);
      this.#timeline?.took(message);
    });
    chat.on("outbox", ({ peer_id }) => (peer_id ?? this.peerId) === this.peerId && this.#timeline?.refresh());
    chat.on("thread", ({ thread }) => {
      if (thread.peer_id !== this.peerId) return;
      this.#look();
      this.list.soon();
    });
    chat.on("reset", ({ reset }) => {
      // It may be another history, in which the same id is another message.
      if (!["behind", "other_tab"].includes(reset)) this.composer.lost();
      this.list.clear();
      this.#timeline?.toEnd();
    });
    // What could not be read yet is read now.
    chat.on("state", ({ state }) => state === "live" && this.list.soon());
    chat.on("typing", ({ peer_id, typing }) => {
      if (peer_id !== this.peerId) return;
      this.#isTyping = typing;
      this.#sayPresence();
    });
    chat.on("presence", (presence) => {
      if (presence.peer_id !== this.peerId) return;
      this.#presence = presence;
      this.#sayPresence();
    });
    // What came while nobody looked is seen now.
    addEventListener("focus", () => this.#seen());
    document.addEventListener("visibilitychange", () => this.#seen());
  }

  /** @param {string} peerId */
  open(peerId) {
    if (this.peerId === peerId) return;
    if (this.peerId) this.#drafts.set(this.peerId, this.composer.draft);
    this.peerId = peerId;
    this.#isTyping = false;
    this.#presence = null;
    this.chat.watchPresence([peerId]);
    this.list.clear();
    const timeline = new Timeline(this.chat, peerId, () => queueMicrotask(() => this.#timeline === timeline && this.#show()), this.on.failed);
    this.#timeline = timeline;
    this.composer.reset(this.#drafts.get(peerId) ?? "");
    this.localize();
    this.#show();
  }

  /** To one message, which may be far back. @param {number} id */
  async goTo(id) {
    const timeline = this.#timeline;
    if (!(await timeline?.around(id)) || timeline !== this.#timeline) return;
    const message = timeline?.find(id);
    if (!message || !timeline) return;
    this.list.show(timeline.items(), timeline.isAtEnd);
    const element = this.list.reveal(keyOf(message));
    element?.focus({ preventScroll: true });
  }

  /** The language is another, or somebody is called otherwise. */
  localize() {
    this.#look();
    const name = this.#peerName;
    say(this.name, name);
    set(this.back, "aria-label", t("back"));
    set(this.newest, "aria-label", t("newest"));
    set(this.feed, "aria-label", t("messages", { name }));
    this.composer.localize(name);
    this.list.again();
    this.#sayPresence();
    this.#sayNote();
  }

  #sayPresence() {
    const { peer_id, online, last_seen } = this.#presence ?? {};
    const name = this.people.nameOf(this.peerId);
    let text = peer_id ? t(online ? "online" : "offline") : "";
    if (!online && last_seen) text = t("lastSeen", { when: when(Date.parse(last_seen), this.chat.now()) });
    if (this.#isTyping) text = t("typing", { name });
    say(this.about, text);
    set(this.about, "class", this.#isTyping ? "presence typing" : online ? "presence online" : "presence");
  }

  #sayNote() {
    const timeline = this.#timeline;
    if (!timeline) return;
    const isLoading = timeline.loading !== null;
    set(this.feed, "aria-busy", isLoading ? "true" : "false");
    const text = isLoading ? t("loading") : timeline.isAtStart && this.feed.scrollTop < HEAD / 4 ? t("beginning") : "";
    say(this.note, text);
    this.note.hidden = !text;
  }

  #look() {
    this.#thread = this.chat.thread(this.peerId);
    this.#peerName = this.people.nameOf(this.peerId);
  }

  #show() {
    const timeline = this.#timeline;
    if (!timeline) return;
    this.#look();
    const items = timeline.items();
    // A feed without an article is none.
    set(this.feed, "role", items.length ? "feed" : "group");
    this.list.head = timeline.isAtStart ? HEAD : 0;
    this.list.show(items, timeline.isAtEnd);
    this.#sayNote();
  }

  /** @param {{ start: boolean, end: boolean, bottom: boolean }} at */
  #moved({ start, end, bottom }) {
    const timeline = this.#timeline;
    if (!timeline) return;
    const isAtEnd = timeline.isAtEnd && bottom;
    this.newest.hidden = isAtEnd;
    this.#sayNote();
    // An answer that was no good is asked for again when the reader moves again.
    const mayRead = this.chat.state === "live";
    if (start && !timeline.isAtStart && mayRead) timeline.older();
    if (end && !timeline.isAtEnd && mayRead) timeline.newer();
    if (isAtEnd) this.#seen();
  }

  /** Only who has the page before them reads. */
  #seen() {
    if (!this.peerId || document.hidden || !document.hasFocus() || !this.element.checkVisibility()) return;
    if (this.#timeline?.isAtEnd && this.list.isAtEnd) this.chat.seen(this.peerId);
  }

  #toEnd() {
    this.#timeline?.toEnd();
    this.#show();
    this.list.toEnd();
    this.feed.focus({ preventScroll: true });
  }

  /** @param {ShownMessage} message @param {HTMLElement | null} element @param {number} index @param {ShownMessage[]} items */
  #article(message, element, index, items) {
    const made = article(message, element, {
      thread: this.#thread,
      peerId: this.peerId,
      peerName: this.#peerName,
      ownName: this.people.own.name,
      previous: items[index - 1] ?? null,
      attachment: (message) => this.attachments.show(message),
      onMenu: (message, button) => this.menu.open(button, this.#actions(message)),
    });
    set(made, "aria-posinset", index + 1);
    set(made, "aria-setsize", this.#timeline?.isAtStart && this.#timeline.isAtEnd ? items.length : -1);
    return made;
  }

  /** @param {ShownMessage} message */
  #actions(message) {
    const { id, client_ref, status, deleted, attachment, sender_id } = message;
    const { chat } = this;
    const ref = client_ref ?? "";
    if (status !== "sent") {
      const discard = { text: t("discard"), act: () => this.#told(chat.discard(ref).then((isOut) => isOut && this.attachments.release(ref))) };
      const retry = { text: t("retry"), act: () => this.#told(chat.retry(ref)) };
      return status === "failed" ? [retry, discard] : [discard];
    }
    const isOwn = sender_id !== this.peerId;
    /** @type {import("./menu.js").Action[]} */
    const actions = [{ text: t("deleteMine"), act: () => this.#told(chat.delete(id, "me")) }];
    if (isOwn && !deleted) actions.push({ text: t("deleteAll"), act: () => this.#told(chat.delete(id, "everyone")) });
    if (isOwn && !deleted && !attachment) actions.unshift({ text: t("edit"), act: () => this.composer.edit(message) });
    return actions;
  }

  /** To where what is sent is shown. */
  #goToSent() {
    if (!this.#timeline?.isAtEnd) this.#timeline?.toEnd();
    this.list.toEnd();
  }

  /** How it ends is shown at the message, which stays. @param {string} text */
  async #send(text) {
    const { peerId } = this;
    this.#goToSent();
    if (await this.#told(this.chat.send(peerId, text))) return;
    // It was not even written down.
    if (this.peerId === peerId) this.composer.giveBack(text);
    else this.#drafts.set(peerId, [text, this.#drafts.get(peerId)].filter(Boolean).join("\n"));
  }

  /** @param {File[]} files */
  async #attach(files) {
    // Another conversation may be open before the last is written down.
    const { peerId } = this;
    this.#goToSent();
    for (const file of files) {
      const clientRef = randomUuid();
      this.attachments.sending(clientRef, file);
      if (!(await this.#told(this.chat.upload(peerId, file, { clientRef })))) this.attachments.release(clientRef);
    }
  }

  /** Gives whether it was done; who asked for it is told why not. @param {Promise<unknown>} work */
  #told(work) {
    return work.then(
      () => true,
      (error) => (this.on.failed(error, true), false),
    );
  }

  /** From one message to the next, as in any feed. @param {KeyboardEvent} event */
  #key(event) {
    const from = event.target instanceof Element ? event.target.closest("article") : null;
    /** @type {Record<string, number>} */
    const steps = { PageDown: 1, ArrowDown: 1, PageUp: -1, ArrowUp: -1 };
    if (!from || !(event.key in steps)) return;
    event.preventDefault();
    const next = this.list.beside(from, steps[event.key]);
    next?.focus();
  }
}
