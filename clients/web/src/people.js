/** Who there is, and what they are called. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { Person } from "./access.js" */

export class People {
  /**
   * @param {ChatClient} chat
   * @param {Person} own
   * @param {Person} peer the other example user
   */
  constructor(chat, own, peer) {
    this.chat = chat;
    this.own = own;
    this.peer = peer;
  }

  /** By the demo, else by the directory of the server. @param {string} id */
  nameOf(id) {
    if (id === this.own.id) return this.own.name;
    if (id === this.peer.id) return this.peer.name;
    const user = this.chat.thread(id)?.peer;
    const profile = /** @type {{ name?: unknown } | null} */ (user?.profile ?? null);
    if (profile && typeof profile === "object" && typeof profile.name === "string") return profile.name;
    return user?.email || id.slice(0, 8);
  }

  /** All with whom there is a conversation, the newest first, and the other user of the demo. */
  peers() {
    const threads = this.chat.threads();
    const ids = threads.map(({ peer_id }) => peer_id);
    return ids.includes(this.peer.id) ? ids : [this.peer.id, ...ids];
  }
}
