/** The list of conversations. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { People } from "./people.js" */
import { icon, make, say, set } from "./element.js";
import { number, t, unread, when } from "./language.js";
import { progress, textOf } from "./message.js";

export class ConversationList {
  /** @type {Map<string, { element: HTMLElement, button: HTMLElement, name: HTMLElement, text: HTMLElement, time: HTMLElement, count: HTMLElement, hint: HTMLElement, tick: HTMLElement }>} */
  #rows = new Map();
  #due = false;

  /**
   * @param {ChatClient} chat
   * @param {People} people
   * @param {(peerId: string) => void} open
   */
  constructor(chat, people, open) {
    this.chat = chat;
    this.people = people;
    this.open = open;
    this.current = "";
    this.rows = make("ul", {});
    this.element = make("nav", { class: "list" }, this.rows);
    for (const type of /** @type {const} */ (["thread", "message", "outbox", "reset", "user", "unread"])) {
      chat.on(type, () => this.soon());
    }
  }

  /** Many changes at once are shown once. */
  soon() {
    if (this.#due) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      this.show();
    });
  }

  show() {
    set(this.element, "aria-label", t("conversations"));
    const peers = this.people.peers();
    for (const [id, { element }] of this.#rows) {
      if (peers.includes(id)) continue;
      element.remove();
      this.#rows.delete(id);
    }
    peers.forEach((id, at) => {
      const row = this.#rows.get(id) ?? this.#make(id);
      if (this.rows.children[at] !== row.element) this.rows.insertBefore(row.element, this.rows.children[at] ?? null);
      this.#paint(id, row);
    });
  }

  /** @param {string} id */
  #make(id) {
    const [name, text, time, count, hint, tick] = ["name", "last", "time", "count", "hidden", "came"].map((name) => make("span", { class: name }));
    const button = make("button", { type: "button", onclick: () => this.open(id) }, name, time, tick, text, count, hint);
    count.setAttribute("aria-hidden", "true");
    text.dir = "auto";
    const row = { element: make("li", {}, button), button, name, text, time, count, hint, tick };
    this.#rows.set(id, row);
    return row;
  }

  /** @param {string} id @param {NonNullable<ReturnType<ConversationList["row"]>>} row */
  #paint(id, { button, name, text, time, count, hint, tick }) {
    const thread = this.chat.thread(id);
    const last = thread?.last_message ?? null;
    set(button, "aria-current", id === this.current ? "true" : null);
    say(name, this.people.nameOf(id));
    say(text, last ? textOf(last) : t("begin"));
    say(time, last ? when(Date.parse(last.created), this.chat.now()) : "");
    const unseen = thread?.unread ?? 0;
    say(count, unseen ? number(unseen) : "");
    count.hidden = !unseen;
    say(hint, unseen ? unread(unseen) : "");
    const came = last && last.sender_id !== id && !last.deleted ? progress({ ...last, status: "sent" }, thread) : null;
    if (tick.dataset.came === (came ?? "")) return;
    tick.dataset.came = came ?? "";
    tick.replaceChildren(...(came ? [icon(came === "seen" ? "delivered" : came)] : []));
    set(tick, "class", `came ${came ?? ""}`);
  }

  /** @param {string} id */
  row(id) {
    return this.#rows.get(id);
  }
}
