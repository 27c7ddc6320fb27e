/** What is said about the connection, about what failed, and to who does not see the page. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { People } from "./people.js" */
import { make, say, set } from "./element.js";
import { t } from "./language.js";
import { textOf } from "./message.js";

/** How long a failure is shown: milliseconds. */
const SHOWN = 8_000;
/** A connection that is there at once needs no word. */
const PATIENCE = 700;

export class Status {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #patience;

  /** @param {ChatClient} chat @param {People} people */
  constructor(chat, people) {
    this.chat = chat;
    this.connection = make("p", { class: "connection", role: "status" });
    this.failure = make("p", { class: "failure", role: "alert" });
    /** Read out, and not shown: the feed is no live region, since older messages come into it as well. */
    this.log = make("div", { class: "hidden", role: "log", "aria-live": "polite" });
    this.element = make("div", { class: "status" }, this.connection, this.failure, this.log);
    chat.on("state", () => this.#soon());
    chat.on("message", ({ message, ring }) => {
      if (!ring || message.deleted) return;
      this.log.append(make("p", {}, t("by", { name: people.nameOf(message.sender_id), text: textOf(message) })));
      while (this.log.childElementCount > 5) this.log.firstElementChild?.remove();
    });
    chat.on("unread", () => this.title());
  }

  /** What cannot wait is told; that it connects is told if that takes a while. */
  #soon() {
    clearTimeout(this.#patience);
    const { state } = this.chat;
    if (state === "live" || state === "stopped") this.show();
    else this.#patience = setTimeout(() => this.show(), PATIENCE);
  }

  show() {
    const { state, stopReason } = this.chat;
    const text = state !== "stopped" ? t(`state_${state}`) : t(stopReason === "token" ? "wrongKey" : "stopped");
    set(this.connection, "class", `connection ${state}`);
    say(this.connection, text);
    this.title();
  }

  title() {
    const { unreadTotal } = this.chat;
    document.title = unreadTotal ? `(${unreadTotal}) ${t("title")}` : t("title");
  }

  /** @param {unknown} error @param {boolean} [isAsked] the user waits for what failed */
  failed(error, isAsked = false) {
    const { code = "", message = String(error) } = /** @type {{ code?: string, message?: string }} */ (error ?? {});
    // A later word counts.
    if (["superseded", "cancelled", "closed"].includes(code)) return;
    // The connection has a line of its own.
    if (!isAsked && ["no_answer", "unavailable", "not_found"].includes(code)) return;
    const known = /** @type {Record<string, string>} */ ({
      too_late: t("tooLate"),
      message_too_large: t("tooLarge"),
      no_answer: t("noAnswer"),
      unavailable: t("noAnswer"),
      not_found: t("gone"),
    });
    say(this.failure, known[code] ?? t("error", { reason: message }));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => say(this.failure, ""), SHOWN);
  }
}
