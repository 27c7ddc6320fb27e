/** Pictures and files of messages. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { Attachment, ShownMessage } from "../../typescript/src/types.js" */
import { icon, make } from "./element.js";
import { t } from "./language.js";

/** What a browser shows, and what cannot have scripts. */
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];
/** A link is good for longer, but not by much. */
const SHARE = 0.8;
/** Links that are kept. */
const MOST = 200;

export class Attachments {
  /** @type {Map<string, { url: string, until: number }>} */
  #links = new Map();
  /** Of what is being sent, by `client_ref`. @type {Map<string, { address: string, progress: HTMLProgressElement }>} */
  #own = new Map();

  /** @param {ChatClient} chat @param {(error: unknown) => void} failed */
  constructor(chat, failed) {
    this.chat = chat;
    this.failed = failed;
    chat.on("upload", ({ client_ref, sent, total }) => {
      const own = this.#own.get(client_ref);
      if (own && total) own.progress.value = sent / total;
    });
    for (const type of /** @type {const} */ (["sent", "failed"])) {
      chat.on(type, ({ client_ref }) => {
        const own = this.#own.get(client_ref);
        if (type === "sent" && own) this.#own.delete(client_ref);
        // The picture of the server is on its way: this one is shown until it is there.
        if (own && type === "sent") setTimeout(() => URL.revokeObjectURL(own.address), 60_000);
      });
    }
  }

  /** What is about to be sent can be shown. @param {string} clientRef @param {Blob} file */
  sending(clientRef, file) {
    this.#own.set(clientRef, { address: URL.createObjectURL(file), progress: make("progress", { max: 1, value: 0 }) });
  }

  /** @param {ShownMessage} message */
  show({ attachment, client_ref, status }) {
    const element = make("div", { class: "attached" });
    if (!attachment) return element;
    const { name, content_type } = attachment;
    const own = (client_ref && this.#own.get(client_ref)) || null;
    const isSent = status === "sent";
    if (PICTURES.includes(content_type.split(";")[0])) element.append(this.#picture(attachment, isSent, own?.address ?? null));
    else element.append(this.#file(attachment, isSent));
    if (status === "pending" && own) {
      own.progress.setAttribute("aria-label", t("uploading", { name }));
      element.append(own.progress);
    }
    return element;
  }

  /** @param {Attachment} attachment @param {boolean} isSent @param {string | null} own where it is while it is being sent */
  #picture(attachment, isSent, own) {
    const { name } = attachment;
    const picture = make("img", { alt: t("picture", { name }), class: "picture", decoding: "async", src: isSent ? null : own });
    if (!isSent) return picture;
    this.#link(attachment).then((url) => (picture.src = url), this.failed);
    return make("a", { class: "frame", href: "#", "aria-label": t("download", { name }), onclick: this.#opens(attachment) }, picture);
  }

  /** @param {Attachment} attachment @param {boolean} isSent */
  #file(attachment, isSent) {
    const { name, size } = attachment;
    const kibibytes = `${Math.max(1, Math.round(size / 1024))} KiB`;
    const text = [icon("file"), make("bdi", {}, name), make("small", {}, " ", kibibytes)];
    if (!isSent) return make("p", { class: "file" }, ...text);
    // What is said has what is seen in it: who speaks to the page says that.
    const label = `${t("download", { name })} ${kibibytes}`;
    return make("a", { class: "file", href: "#", "aria-label": label, onclick: this.#opens(attachment) }, ...text);
  }

  /** A link is asked for when it is used: it is not good for long. @param {Attachment} attachment */
  #opens(attachment) {
    return (/** @type {MouseEvent} */ event) => {
      event.preventDefault();
      this.#link(attachment).then((url) => {
        const link = make("a", { href: url, target: "_blank", rel: "noopener", download: attachment.name });
        link.click();
      }, this.failed);
    };
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
