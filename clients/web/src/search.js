/** Search over all conversations. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { Message } from "../../typescript/src/types.js" */
/** @import { People } from "./people.js" */
import { make, say, set } from "./element.js";
import { t, when } from "./language.js";
import { textOf } from "./message.js";

const PAGE = 20;
/** Keys follow each other: milliseconds. */
const PAUSE = 250;

export class Search {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {AsyncGenerator<Message, void, void> | null} */
  #found = null;

  /**
   * @param {ChatClient} chat
   * @param {People} people
   * @param {boolean} isThere some servers have none
   * @param {{ open: (peerId: string, id: number) => void, failed: (error: unknown) => void, isShown: (isShown: boolean) => void }} on
   */
  constructor(chat, people, isThere, on) {
    this.chat = chat;
    this.people = people;
    this.on = on;
    this.input = make("input", { type: "search", dir: "auto", autocomplete: "off", enterkeyhint: "search" });
    this.form = make("form", { class: "search", role: "search", hidden: !isThere }, this.input);
    this.rows = make("ul", {});
    this.count = make("p", { role: "status" });
    this.more = make("button", { type: "button", class: "plain", hidden: true, onclick: () => this.#next() });
    this.results = make("section", { class: "list results", hidden: true }, this.rows, this.count, this.more);
    this.input.addEventListener("input", () => this.#soon(PAUSE));
    this.input.addEventListener("keydown", (event) => event.key === "Escape" && this.clear());
    this.form.addEventListener("submit", (event) => (event.preventDefault(), this.#soon(0)));
  }

  localize() {
    set(this.input, "aria-label", t("search"));
    set(this.input, "placeholder", t("search"));
    set(this.results, "aria-label", t("results"));
    say(this.more, t("moreResults"));
    if (!this.results.hidden) this.#soon(0);
  }

  clear() {
    this.input.value = "";
    this.#soon(0);
  }

  /** @param {number} pause */
  #soon(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#begin(), pause);
  }

  #begin() {
    const words = this.input.value.trim();
    const isWanted = [...words].length >= 2;
    this.results.hidden = !isWanted;
    this.on.isShown(isWanted);
    this.rows.replaceChildren();
    this.#found = isWanted ? this.chat.search(words, { limit: PAGE }) : null;
    say(this.count, "");
    if (isWanted) this.#next();
  }

  /** A page more. */
  async #next() {
    const found = this.#found;
    if (!found) return;
    this.more.hidden = true;
    const messages = [];
    try {
      while (messages.length < PAGE) {
        const { value, done } = await found.next();
        if (found !== this.#found) return;
        if (done) break;
        messages.push(value);
      }
    } catch (error) {
      if (found === this.#found) this.on.failed(error);
      return;
    }
    this.rows.append(...messages.map((message) => this.#row(message)));
    this.more.hidden = messages.length < PAGE;
    say(this.count, this.rows.childElementCount ? "" : t("noResults"));
  }

  /** @param {Message} message */
  #row(message) {
    const { id, sender_id, receiver_id, created } = message;
    const peerId = sender_id === this.people.own.id ? receiver_id : sender_id;
    const open = () => this.on.open(peerId, id);
    const button = make(
      "button",
      { type: "button", onclick: open },
      make("span", { class: "name" }, this.people.nameOf(sender_id)),
      make("span", { class: "time" }, when(Date.parse(created), this.chat.now())),
      make("span", { class: "last", dir: "auto" }, textOf(message)),
    );
    return make("li", {}, button);
  }
}
