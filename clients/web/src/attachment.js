/** Pictures and files of messages. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { Attachment, ShownMessage } from "../../typescript/src/types.js" */
import { icon, make } from "./element.js";
import { t } from "./language.js";

/** What a browser shows, and what cannot have scripts. */
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];
/** A link is good for longer, but not by much. */
const SHARE = 0.8;
/** Milliseconds for the first picture from the server. */
const PATIENCE = 60_000;
/** Links that are kept. */
const MOST = 200;

export class Attachments {
  /** @type {Map<string, { url: string, until: number }>} */
  #links = new Map();
  /** Of what is being sent, by `client_ref`. @type {Map<string, { address: string, progress: HTMLProgressElement }>} */
  #own = new Map();
  /** What could not be shown, until there is a connection. @type {Map<HTMLImageElement, () => void>} */
  #blank = new Map();

  /** @param {ChatClient} chat @param {(error: unknown, isAsked?: boolean) => void} failed */
  constructor(chat, failed) {
    this.chat = chat;
    this.failed = failed;
    chat.on("upload", ({ client_ref, sent, total }) => {
      const own = this.#own.get(client_ref);
      if (own && total) own.progress.value = sent / total;
    });
    // The picture of the server is on its way: the own one is shown until it is there.
    chat.on("sent", ({ client_ref }) => this.#own.has(client_ref) && setTimeout(() => this.release(client_ref), PATIENCE));
    chat.on("state", ({ state }) => {
      if (state !== "live") return;
      const again = [...this.#blank].filter(([picture]) => picture.isConnected);
      this.#blank.clear();
      for (const [, load] of again) load();
    });
  }

  /** What is about to be sent can be shown. @param {string} clientRef @param {Blob} file */
  sending(clientRef, file) {
    this.#own.set(clientRef, { address: URL.createObjectURL(file), progress: make("progress", { max: 1, value: 0 }) });
  }

  /** The file is of no more use: it is sent, was taken out, or not even written down. @param {string} clientRef */
  release(clientRef) {
    const own = this.#own.get(clientRef);
    this.#own.delete(clientRef);
    if (own) URL.revokeObjectURL(own.address);
  }

  /** @param {ShownMessage} message */
  show({ attachment, client_ref, status }) {
    const element = make("div", { class: "attached" });
    if (!attachment) return element;
    const { name, content_type } = attachment;
    const own = (client_ref && this.#own.get(client_ref)) || null;
    const isSent = status === "sent";
    if (PICTURES.includes(content_type.split(";")[0])) element.append(this.#picture(attachment, isSent, client_ref));
    else element.append(this.#file(attachment, isSent));
    if (status === "pending" && own) {
      own.progress.setAttribute("aria-label", t("uploading", { name }));
      element.append(own.progress);
    }
    return element;
  }

  /** @param {Attachment} attachment @param {boolean} isSent @param {string | null} clientRef */
  #picture(attachment, isSent, clientRef) {
    const { name } = attachment;
    const own = (clientRef && this.#own.get(clientRef)?.address) || null;
    const picture = make("img", { alt: t("picture", { name }), class: "picture", decoding: "async", src: own });
    if (!isSent) return picture;
    this.#load(picture, attachment);
    picture.addEventListener("load", () => picture.src !== own && clientRef && this.release(clientRef));
    const act = { type: "button", "aria-label": t("download", { name }), onclick: this.#opens(attachment) };
    return make("button", { class: "frame", ...act }, picture);
  }

  /**
   * A link may end before it is used, and the network may fail: it is asked for once more, and then when the network is back.
   *
   * @param {HTMLImageElement} picture
   * @param {Attachment} attachment
   */
  #load(picture, attachment) {
    let mayTry = true;
    const load = () =>
      this.#link(attachment).then(
        (url) => (picture.src = url),
        (error) => (wait(), this.failed(error)),
      );
    const wait = () => {
      for (const other of this.#blank.keys()) if (!other.isConnected) this.#blank.delete(other);
      this.#blank.set(picture, () => {
        mayTry = true;
        load();
      });
    };
    picture.addEventListener("error", () => {
      this.#links.delete(attachment.url);
      if (!mayTry) return wait();
      mayTry = false;
      load();
    });
    load();
  }

  /** @param {Attachment} attachment @param {boolean} isSent */
  #file(attachment, isSent) {
    const { name, size } = attachment;
    const kibibytes = `${Math.max(1, Math.round(size / 1024))} KiB`;
    const text = [icon("file"), make("bdi", {}, name), make("small", {}, " ", kibibytes)];
    if (!isSent) return make("p", { class: "file" }, ...text);
    // What is said has what is seen in it: who speaks to the page says that.
    const label = `${t("download", { name })} ${kibibytes}`;
    return make("button", { type: "button", class: "file", "aria-label": label, onclick: this.#opens(attachment) }, ...text);
  }

  /** A link is asked for when it is used: it is not good for long. @param {Attachment} attachment */
  #opens(attachment) {
    return () =>
      this.#link(attachment).then(
        (url) => make("a", { href: url, target: "_blank", rel: "noopener", download: attachment.name }).click(),
        (error) => this.failed(error, true),
      );
  }

  /** @param {Attachment} attachment */
  async #link(attachment) {
    const known = this.#links.get(attachment.url);
    if (known && known.until > Date.now()) return known.url;
    const { url, expires_in_s } = await this.chat.link(attachment);
    for (const oldest of this.#links.keys()) {
      if (this.#links.size < MOST) break;
      this.#links.delete(oldest);
    }
    this.#links.set(attachment.url, { url, until: Date.now() + expires_in_s * 1000 * SHARE });
    return url;
  }
}
