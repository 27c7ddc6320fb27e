/** Where a message is written, or one is changed. */

/** @import { ShownMessage } from "../../typescript/src/types.js" */
import { icon, make, say, set } from "./element.js";
import { t } from "./language.js";

/**
 * @typedef {object} Writer
 * @property {(text: string) => void} send
 * @property {(message: ShownMessage, text: string) => Promise<boolean>} edit gives whether it is changed
 * @property {(files: File[]) => void} attach
 * @property {(isTyping: boolean) => void} typing
 */

export class Composer {
  /** @type {ShownMessage | null} */
  #edited = null;
  /** What was written before a message was edited. */
  #draft = "";

  /** @param {Writer} writer */
  constructor(writer) {
    this.writer = writer;
    this.text = make("textarea", { rows: 1, enterkeyhint: "send", autocomplete: "off", dir: "auto" });
    this.send = make("button", { type: "submit", class: "round" }, icon("send"));
    this.files = make("input", { type: "file", multiple: true, hidden: true, tabindex: -1 });
    this.attach = make("button", { type: "button", class: "round quiet", onclick: () => this.files.click() }, icon("clip"));
    this.what = make("span", {});
    this.cancel = make("button", { type: "button", class: "plain", onclick: () => this.#stop() });
    this.banner = make("p", { class: "banner", hidden: true }, this.what, this.cancel);
    this.element = make("form", { class: "composer" }, this.banner, this.files, this.attach, this.text, this.send);
    this.element.addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    this.text.addEventListener("input", () => this.#wrote());
    this.text.addEventListener("keydown", (event) => this.#key(event));
    this.text.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      writer.attach(files);
    });
    this.files.addEventListener("change", () => {
      writer.attach([...(this.files.files ?? [])]);
      this.files.value = "";
    });
    this.#fit();
  }

  /** @param {string} peerName */
  localize(peerName) {
    set(this.text, "aria-label", t("compose", { name: peerName }));
    set(this.text, "placeholder", t("compose", { name: peerName }));
    set(this.attach, "aria-label", t("attach"));
    set(this.send, "aria-label", t(this.#edited ? "save" : "send"));
    say(this.what, t("editing"));
    say(this.cancel, t("cancel"));
  }

  /** Another conversation. @param {string} draft what was being written there */
  reset(draft) {
    if (this.#edited) this.#show(null);
    this.text.value = draft;
    this.#fit();
  }

  /** What is being written, and was not sent. */
  get draft() {
    return this.#edited ? this.#draft : this.text.value;
  }

  /** @param {ShownMessage} message */
  edit(message) {
    if (!this.#edited) this.#draft = this.text.value;
    this.#show(message);
    this.text.value = message.message;
    this.#fit();
    this.text.focus();
  }

  /** It is gone, or all are: nothing is left to be changed. @param {number} [id] */
  lost(id = this.#edited?.id) {
    if (this.#edited && this.#edited.id === id) this.#stop();
  }

  /** It could not be sent: before what was written since. @param {string} text */
  giveBack(text) {
    const joined = [text, this.draft].filter(Boolean).join("\n");
    if (this.#edited) this.#draft = joined;
    else this.text.value = joined;
    this.#fit();
  }

  #stop() {
    const hadFocus = this.element.contains(document.activeElement) || document.activeElement === document.body;
    this.#show(null);
    this.text.value = this.#draft;
    this.#fit();
    // An answer may come when the user is elsewhere.
    if (hadFocus) this.text.focus();
  }

  /** @param {ShownMessage | null} message */
  #show(message) {
    this.#edited = message;
    this.text.readOnly = false;
    this.banner.hidden = !message;
    set(this.send, "aria-label", t(message ? "save" : "send"));
  }

  #submit() {
    const text = this.text.value.trim();
    if (!text || this.text.readOnly) return;
    if (this.#edited) {
      this.#save(this.#edited, text);
      return;
    }
    this.text.value = "";
    this.#fit();
    this.writer.send(text);
    this.text.focus();
  }

  /** It stays open until it is changed. @param {ShownMessage} message @param {string} text */
  async #save(message, text) {
    if (text === message.message) return this.#stop();
    this.text.readOnly = true;
    const isSaved = await this.writer.edit(message, text);
    // The user may have gone on to something else.
    if (this.#edited !== message) return;
    this.text.readOnly = false;
    if (isSaved) this.#stop();
  }

  #wrote() {
    this.#fit();
    if (!this.#edited) this.writer.typing(this.text.value.trim() !== "");
  }

  /** Enter sends, with Shift it is a new line. Not while a word is put together, as in Japanese. @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape" && this.#edited) this.#stop();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#submit();
  }

  /** As high as its text; the style has a limit. */
  #fit() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight + 2}px`;
  }
}
